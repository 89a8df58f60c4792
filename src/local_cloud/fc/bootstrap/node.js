// Serves one Node function on a port of its machine, the way a custom runtime is served.
//
// POST /initialize, /invoke and /pre-stop; the answer's header `x-fc-status` is 404 where the function failed.
// Standard output is the log.

'use strict';

const fs = require('fs');
const http = require('http');
const path = require('path');
const url = require('url');

const CODE = (process.env.ALIFORM_ROOT || '') + process.env.FC_FUNC_CODE_PATH;

function contextOf(headers) {
  const text = (name) => headers[name] || '';
  return {
    requestId: text('x-fc-request-id'),
    credentials: {
      accessKeyId: text('x-fc-access-key-id'),
      accessKeySecret: text('x-fc-access-key-secret'),
      securityToken: text('x-fc-security-token'),
    },
    function: {
      name: process.env.FC_FUNCTION_NAME,
      handler: process.env.FC_FUNCTION_HANDLER,
      memory: Number(process.env.FC_FUNCTION_MEMORY_SIZE),
      timeout: Number(text('x-fc-function-timeout')),
      initializer: process.env.FC_FUNCTION_INITIALIZER,
    },
    service: { name: '', logProject: '', logStore: '', qualifier: text('x-fc-qualifier'), versionId: text('x-fc-version-id') },
    region: process.env.FC_REGION,
    accountId: process.env.FC_ACCOUNT_ID,
    logger: console,
  };
}

class Failed extends Error {
  constructor(kind, message) {
    super(message);
    this.kind = kind;
  }
}

// `folder/module.name`; Node itself remembers modules.
async function find(name) {
  const at = name.lastIndexOf('.');
  const base = path.join(CODE, name.slice(0, at));
  const attribute = name.slice(at + 1);
  const file = ['.js', '.cjs', '.mjs'].map((end) => base + end).find((candidate) => fs.existsSync(candidate));
  if (!file) {
    throw new Failed('ImportModuleError', `Cannot find module '${name.slice(0, at)}'`);
  }
  let found;
  try {
    if (file.endsWith('.mjs')) {
      throw Object.assign(new Error(), { code: 'ERR_REQUIRE_ESM' });
    }
    found = require(file);
  } catch (error) {
    if (error.code !== 'ERR_REQUIRE_ESM') {
      throw error;
    }
    found = await import(url.pathToFileURL(file).href);
  }
  const handler = found[attribute] || (found.default && found.default[attribute]);
  if (typeof handler !== 'function') {
    throw new Failed('HandlerNotFound', `Handler '${attribute}' is missing on module '${name.slice(0, at)}'`);
  }
  return handler;
}

// A function answers by what it returns or by its callback.
function call(handler, args) {
  return new Promise((resolve, reject) => {
    const callback = (error, result) => (error ? reject({ told: error }) : resolve(result));
    const returned = handler(...args, callback);
    if (returned && typeof returned.then === 'function') {
      returned.then(resolve, reject);
    } else if (handler.length <= args.length) {
      resolve(returned);
    }
  });
}

function bytesOf(result) {
  if (Buffer.isBuffer(result) || result instanceof Uint8Array) {
    return Buffer.from(result);
  }
  if (typeof result === 'string') {
    return Buffer.from(result);
  }
  return Buffer.from(result === undefined ? 'null' : JSON.stringify(result));
}

function failure(error) {
  const handled = error && error.told !== undefined;
  const cause = handled ? error.told : error;
  const known = cause instanceof Error;
  const body = { errorMessage: known ? cause.message : String(cause) };
  if (known) {
    body.errorType = cause.kind || cause.name;
    body.stackTrace = String(cause.stack).split('\n').slice(1).map((line) => line.trim());
  }
  return { body: Buffer.from(JSON.stringify(body)), kind: handled ? 'HandledInvocationError' : 'UnhandledInvocationError' };
}

async function carryOut(target, headers, event) {
  const context = contextOf(headers);
  if (target === '/invoke') {
    return bytesOf(await call(await find(process.env.FC_FUNCTION_HANDLER), [event, context]));
  }
  const hook = target === '/initialize' ? process.env.FC_FUNCTION_INITIALIZER : process.env.FC_FUNCTION_PRE_STOP;
  await call(await find(hook), [context]);
  return Buffer.alloc(0);
}

function send(response, status, body, kind) {
  const headers = { 'content-type': 'application/octet-stream', 'content-length': body.length, 'x-fc-status': status };
  if (kind) {
    headers['x-fc-error-type'] = kind;
  }
  response.writeHead(200, { ...headers, connection: 'close' });
  response.end(body);
}

const open = new Set();

// What nobody caught ends the process, as it does anywhere; those who wait are told first.
process.on('uncaughtException', (error) => {
  console.error(error);
  const { body, kind } = failure(error);
  const waiting = [...open];
  let left = waiting.length;
  if (left === 0) {
    process.exit(1);
  }
  for (const response of waiting) {
    response.on('finish', () => {
      left -= 1;
      if (left === 0) {
        process.exit(1);
      }
    });
    send(response, 404, body, kind);
  }
});

http
  .createServer((request, response) => {
    const pieces = [];
    request.on('data', (piece) => pieces.push(piece));
    request.on('end', async () => {
      open.add(response);
      try {
        const body = await carryOut(request.url, request.headers, Buffer.concat(pieces));
        open.delete(response);
        send(response, 200, body);
      } catch (error) {
        open.delete(response);
        console.error(error && error.told !== undefined ? error.told : error);
        const { body, kind } = failure(error);
        send(response, 404, body, kind);
      }
    });
  })
  .listen(Number(process.env.FC_SERVER_PORT), '127.0.0.1');
