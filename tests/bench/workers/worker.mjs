// A program of the user's own around the handler: json protocol on stdin and stdout, an answer for each job
// written before the next job is begun.
import { readSync, writeSync } from 'node:fs';
import handle from './handler.mjs';

function write(text) {
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; ) at += writeSync(1, bytes, at);
}

const piece = Buffer.allocUnsafe(1 << 16);
let parts = []; // of a line that has not ended yet
for (let length; (length = readSync(0, piece)) > 0; ) {
  let start = 0;
  for (let end; (end = piece.indexOf(10, start)) >= 0 && end < length; start = end + 1) {
    let line = piece.toString('utf8', start, end);
    if (parts.length) {
      line = Buffer.concat([...parts, piece.subarray(0, end)]).toString();
      parts = [];
    }
    const { id, data } = JSON.parse(line);
    write(JSON.stringify({ id, status: 'ok', data: handle(data) }) + '\n');
  }
  if (start < length) parts.push(Buffer.from(piece.subarray(start, length)));
}
