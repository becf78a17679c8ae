'use strict';

// How the layer is built, and where it is kept. Bytecode is valid only for the minor version of Python that wrote it, and
// Lambda's /opt is read-only. A layer without the runtime's own bytecode would compile everything at every cold start,
// which takes seconds.

const { spawnSync } = require('node:child_process');
const { createHash } = require('node:crypto');
const { readFileSync } = require('node:fs');
const path = require('node:path');

const RUNTIME = '3.13';
const SERVERLESS = path.join(__dirname, '..', 'serverless.yml');

const version = (python) => {
  const { stdout } = spawnSync(python, ['-c', 'import sys; print("%d.%d" % sys.version_info[:2])'], { encoding: 'utf8' });
  return stdout ? stdout.trim() : null;
};

const pythonToUse = () => {
  const candidates = [process.env.TOTES_PYTHON, `python${RUNTIME}`, 'python3'].filter(Boolean);
  const python = candidates.find((candidate) => version(candidate) === RUNTIME);
  if (python) {
    // Makes pip write bytecode that Python checks by hash: the usual kind, checked by time, is invalid after zipping.
    process.env.SOURCE_DATE_EPOCH = '315532800';
    return { bin: python, compile: '--compile' };
  }
  const any = candidates.find((candidate) => version(candidate));
  if (!any) {
    throw new Error('No Python found to build the layer with: install Python 3.13, or name one in TOTES_PYTHON.');
  }
  process.stderr.write(
    `Python ${RUNTIME} not found, the layer is built by ${any} without bytecode: cold starts will take about four ` +
      `seconds longer. Install Python ${RUNTIME}, or name it in TOTES_PYTHON.\n`
  );
  return { bin: any, compile: '--no-compile' };
};

module.exports = () => {
  const { bin, compile } = pythonToUse();
  const serverless = readFileSync(SERVERLESS, 'utf8');
  const recipe = serverless.slice(serverless.indexOf('\ncustom:')) + compile;
  return { bin, compile, cache: path.join('build', 'layer', createHash('sha256').update(recipe).digest('hex').slice(0, 16)) };
};
