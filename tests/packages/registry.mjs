// Runs a command with a registry of its own, which has the packages of a folder and no others:
// node registry.mjs FOLDER COMMAND ARGUMENT…
import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';

const [folder, command, ...words] = process.argv.slice(2);
const packages = new Map();
for (const file of readdirSync(folder).filter((name) => name.endsWith('.tgz'))) {
  const about = JSON.parse(execFileSync('tar', ['-xzOf', join(folder, file), 'package/package.json']));
  packages.set(about.name, { about, file, content: readFileSync(join(folder, file)) });
}

const server = createServer((request, response) => {
  const name = decodeURIComponent(request.url.slice(1));
  const found = packages.get(name);
  const asked = [...packages.values()].find(({ file }) => file === name);
  if (asked) return response.end(asked.content);
  if (!found) return response.writeHead(404).end('{}');
  const { about, file, content } = found;
  const integrity = `sha512-${createHash('sha512').update(content).digest('base64')}`;
  const dist = { tarball: `${origin()}/${file}`, integrity };
  const versions = { [about.version]: { ...about, dist } };
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify({ name, 'dist-tags': { latest: about.version }, versions }));
});

const origin = () => `http://127.0.0.1:${server.address().port}`;

server.listen(0, '127.0.0.1', () => {
  const env = { ...process.env, npm_config_registry: origin() };
  spawn(command, words, { stdio: 'inherit', env }).on('exit', (code) => process.exit(code ?? 1));
});
