// workerpool, with processes. The same file is the worker's side.
import workerpool from 'workerpool';

if (process.argv[2]) {
  const { runAll, workers } = await import('./jobs.mjs');
  const options = { workerType: 'process', minWorkers: workers, maxWorkers: workers };
  const pool = workerpool.pool(new URL(import.meta.url).pathname, options);
  await runAll((job) => pool.exec('handle', [job]));
  await pool.terminate();
} else {
  const { default: handle } = await import('../workers/handler.mjs');
  workerpool.worker({ handle });
}
