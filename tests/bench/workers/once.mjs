// A process per job: the job is the argument.
import handle from './handler.mjs';

console.log(JSON.stringify(handle(JSON.parse(process.argv[2]))));
