// The option `corsOptions`, whose values are those of npm's `cors`.
'use strict';

const { promisify } = require('node:util');

/** @returns {(req: any, res: any) => Promise<void>} */
function corsOf(options = { origin: true }) {
  const { origin = '*', credentials, exposedHeaders, methods = 'GET,HEAD,PUT,PATCH,POST,DELETE', allowedHeaders, maxAge } = options;
  const ask = typeof origin === 'function' ? promisify(origin) : async () => origin;
  return async (req, res) => {
    const from = req.headers.origin;
    const allowed = await ask(from);
    if (allowed === false || allowed === undefined || allowed === null) return;
    const set = (name, value) => value !== undefined && res.setHeader(name, String(value));
    if (allowed === '*') {
      set('Access-Control-Allow-Origin', '*');
    } else {
      res.setHeader('Vary', [res.getHeader('Vary') ?? [], 'Origin'].flat().join(', '));
      // One fixed origin is told to everybody, as npm's does.
      if (typeof allowed === 'string') set('Access-Control-Allow-Origin', allowed);
      else if (from && fits(from, allowed)) set('Access-Control-Allow-Origin', from);
    }
    set('Access-Control-Allow-Credentials', credentials === true ? true : undefined);
    set('Access-Control-Expose-Headers', exposedHeaders);
    if (req.method !== 'OPTIONS') return;
    set('Access-Control-Allow-Methods', methods);
    set('Access-Control-Allow-Headers', allowedHeaders ?? req.headers['access-control-request-headers']);
    set('Access-Control-Max-Age', maxAge);
  };
}

function fits(origin, allowed) {
  if (Array.isArray(allowed)) return allowed.some((one) => fits(origin, one));
  return allowed instanceof RegExp ? allowed.test(origin) : allowed === true || allowed === origin;
}

module.exports = { corsOf };
