'use strict';

// serverless-python-requirements links the layer that it has built before into .serverless, and does not wait for the
// link: now and then osls looks for the file a moment too early (ENOENT). This plugin waits, and has to come after it.

const { lstat } = require('node:fs/promises');
const path = require('node:path');
const { setTimeout: sleep } = require('node:timers/promises');

const ATTEMPTS = 500;
const PAUSE_MS = 10;

class AwaitLayer {
  constructor(serverless) {
    this.layer = path.join(serverless.serviceDir, '.serverless', 'pythonRequirements.zip');
    this.hooks = { 'after:package:createDeploymentArtifacts': () => this.appear() };
  }

  async appear() {
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
      if (await lstat(this.layer).catch(() => null)) return;
      await sleep(PAUSE_MS);
    }
    throw new Error(`The layer is not at ${this.layer} five seconds after it was built: delete build/layer and try again.`);
  }
}

module.exports = AwaitLayer;
