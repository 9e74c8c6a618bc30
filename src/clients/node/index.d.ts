/** Every option of the command: `startTimeout: 5` is --start-timeout=5, and true is a flag without a value. */
export interface Options {
  /** Whether records or results are given, of which the latter throw a JobError. */
  records?: boolean;
  /** Ends the workers at once. */
  signal?: AbortSignal;
  [flag: string]: string | number | boolean | null | undefined | readonly (string | number)[] | AbortSignal;
}

/** What a job ended in. */
export interface Record<Result = any> {
  job: number;
  status: 'ok' | 'error' | 'timeout' | 'died' | 'bad_reply' | 'bad_input' | 'not_run';
  /** With status `ok`. */
  data?: Result;
  /** With any other status. */
  error?: { name: string; message: string; stack?: string; code?: any; cause?: any; [field: string]: any };
  [field: string]: any;
}

/** A file with a function, or a program with its arguments. */
export type Handler = string | URL | readonly string[];

/** A job has failed: what its handler threw, and the whole record. */
export class JobError extends Error {
  readonly status: Exclude<Record['status'], 'ok'>;
  readonly code?: any;
  readonly record: Record;
}

/** The pool itself has failed. */
export class PoolError extends Error {
  /** The exit status of forkpool, or the name of the signal that ended it. */
  readonly status?: number | string;
}

/** Runs all jobs, and gives their results in their order; the first job that has failed throws its JobError. */
export function run<Result = any>(
  handler: Handler,
  jobs: Iterable<any> | AsyncIterable<any>,
  options: Options & { records: false },
): AsyncGenerator<Result, void, void>;
/** Runs all jobs, and gives a record for each, in their order. Jobs are taken only as far ahead as there is room. */
export function run<Result = any>(
  handler: Handler,
  jobs: Iterable<any> | AsyncIterable<any>,
  options?: Options,
): AsyncGenerator<Record<Result>, void, void>;

/** Workers that wait for jobs. An open pool keeps the program running only while a job is open. */
export class Pool {
  constructor(handler: Handler, options?: Options);
  /**
   * Resolves to the result of a job (with `records: true`, to its record), or rejects with its JobError. After an abort
   * the answer is not waited for.
   */
  run<Result = any>(job: any, options?: { signal?: AbortSignal }): Promise<Result>;
  /** Replaces the workers, one after the other and each after its job: an edited handler is taken over. */
  reload(): Promise<void>;
  /** Waits until all jobs are answered, and ends the workers. Rejects with a PoolError if the pool has failed. */
  close(): Promise<void>;
  /** Ends the workers at once. A job that has no answer yet is rejected. */
  kill(): Promise<void>;
}
