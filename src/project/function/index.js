// Runs one job as a function: its files are copied to where they may change, its output and its outputs go to links.
//
// The event says what runs and holds what is secret. Nothing of it is written to a disk, and nothing of it is printed.

'use strict';

const childProcess = require('child_process');
const fs = require('fs');
const http = require('http');
const os = require('os');
const path = require('path');

// The log is one object, written anew when it has grown; the larger it is the longer the pause, so that what travels
// is bounded: so many bytes a second in the mean. In milliseconds, bytes a second, bytes.
const [SHORTEST, LONGEST, RATE, MOST] = [500, 60000, 256 * 1024, 16 * 1024 * 1024];
const ATTEMPTS = 4;

const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

// One request, through a proxy where the environment has one. Links are plain HTTP, since they never leave the region.
function once(method, link, body) {
  return new Promise((resolve, reject) => {
    const url = new URL(link);
    const exempt = (process.env.no_proxy || '').split(',').includes(url.hostname);
    const proxy = process.env.http_proxy && !exempt ? new URL(process.env.http_proxy) : null;
    const { hostname, port } = proxy || url;
    const target = link.slice(link.indexOf('/', 'http://'.length));
    const headers = { host: url.host, ...(method === 'PUT' ? { 'content-length': body.length } : {}) };
    const options = { hostname, port, path: proxy ? link : target, method, headers, agent: false, timeout: 60000 };
    const request = http.request(options, (answer) => {
      const pieces = [];
      answer.on('data', (piece) => pieces.push(piece));
      answer.on('error', reject);
      answer.on('end', () =>
        answer.statusCode === 200 ? resolve(Buffer.concat(pieces)) : reject(new Error(`HTTP ${answer.statusCode}`)));
    });
    request.on('timeout', () => request.destroy(new Error('no answer within a minute')));
    request.on('error', reject);
    request.end(body);
  });
}

// One request to a link, tried again: every one of them does the same when it comes twice.
async function exchange(method, link, body) {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await once(method, link, body);
    } catch (error) {
      if (attempt === ATTEMPTS) {
        throw error;
      }
    }
    await sleep(300 * 2 ** attempt);
  }
}

const put = (link, content) => exchange('PUT', link, Buffer.from(content));

// What the job writes, in a file, and how much of that the link has.
class Log {
  constructor(file, link) {
    Object.assign(this, { file, link, sent: 0 });
  }

  size() {
    return fs.statSync(this.file).size;
  }

  async send(last = false) {
    const size = this.size();
    if (Math.min(size, MOST) <= this.sent && !(last && size > MOST)) {
      return;
    }
    const opened = fs.openSync(this.file, 'r');
    const buffer = Buffer.alloc(Math.min(size, MOST));
    const read = fs.readSync(opened, buffer, 0, buffer.length, 0);
    fs.closeSync(opened);
    const rest = last && size > MOST ? `\naliform: it wrote ${size - MOST} bytes more, which are not shown\n` : '';
    const content = Buffer.concat([buffer.subarray(0, read), Buffer.from(rest)]);
    await put(this.link, content);
    this.sent = content.length;
  }

  pause() {
    return Math.min(Math.max((this.size() / RATE) * 1000, SHORTEST), LONGEST);
  }
}

// Runs the command to its end, and answers its exit code.
async function run(job, work, log) {
  const written = fs.openSync(log.file, 'w');
  const words = [path.join(__dirname, 'run.sh'), work, String(job.limit), job.command];
  const env = { ...process.env, PYTHONUNBUFFERED: '1', ...job.environment };
  const child = childProcess.spawn('sh', words, { cwd: work, env, stdio: ['ignore', written, written], detached: true });
  fs.closeSync(written);
  let over = false;
  const ended = new Promise((resolve, reject) => {
    child.on('error', reject);
    // A signal's number counts as the shell counts it.
    child.on('exit', (code, signal) => resolve(code === null ? 128 + os.constants.signals[signal] : code));
  }).finally(() => {
    over = true;
  });
  while (!over) {
    let timer;
    await Promise.race([ended, new Promise((resolve) => (timer = setTimeout(resolve, log.pause())))]);
    clearTimeout(timer);
    if (!over) {
      // The next time it is sent as a whole.
      await log.send().catch(() => {});
    }
  }
  return ended;
}

// Sends the outputs; answers which there are not, and whether there were any.
async function deliver(job, work, archive) {
  if (job.outputs.length === 0) {
    return { missing: [], delivered: false };
  }
  const words = [path.join(__dirname, 'pack.sh'), work, archive, ...job.outputs];
  const packed = childProcess.spawnSync('sh', words, { stdio: ['ignore', 'pipe', 'pipe'] });
  if (packed.status !== 0) {
    throw new Error(`the outputs can't be packed: ${String(packed.stderr).trim().slice(-500)}`);
  }
  const missing = String(packed.stdout).split('\n').filter((line) => line);
  if (!fs.existsSync(archive)) {
    return { missing, delivered: false };
  }
  await exchange('PUT', job.links.outputs, fs.readFileSync(archive));
  return { missing, delivered: true };
}

async function carryOut(job, base) {
  const work = path.join(base, 'work');
  fs.cpSync(path.join(__dirname, 'job'), work, { recursive: true, verbatimSymlinks: true });
  const log = new Log(path.join(base, 'log'), job.links.log);
  const result = { exit: await run(job, work, log), missing: [], delivered: false, trouble: [] };
  const trouble = (what) => (error) => void result.trouble.push(`its ${what} could not be sent: ${error.message}`);
  await log.send(true).catch(trouble('output'));
  const done = await deliver(job, work, path.join(base, 'outputs.tar.gz')).catch(trouble('outputs'));
  return { ...result, ...done };
}

async function main(job) {
  const { links } = job;
  if (links.begun) {
    // Whoever took this run's place says so by the ticket, and looks for this mark after that.
    await put(links.begun, 'begun');
    if (String(await exchange('GET', links.ticket)) !== job.ticket) {
      await put(links.gone, 'gone');
      return JSON.stringify({ superseded: true });
    }
  }
  const base = fs.mkdtempSync(path.join(os.tmpdir(), 'aliform-'));
  let result;
  try {
    result = JSON.stringify(await carryOut(job, base));
  } finally {
    fs.rmSync(base, { recursive: true, force: true });
  }
  await put(links.result, result);
  return result;
}

exports.handler = (event, context, callback) => {
  main(JSON.parse(event)).then((result) => callback(null, result), callback);
};
