'use strict';

// The layer is in the deployment bucket once, under the hash of its content (docs/adr/0029-layer-and-alarms.md). osls would
// put it into the folder of the first deployment that has it, and delete that folder ten deployments later. Then the
// deployments that share the layer could not be restored. `sls remove` deletes it with the rest of the stage's prefix.

const { createHash } = require('node:crypto');
const { lstat, readFile } = require('node:fs/promises');
const { createRequire } = require('node:module');
const path = require('node:path');
const { setTimeout: sleep } = require('node:timers/promises');

const { uploadZipFile } = require('osls/lib/plugins/aws/lib/upload-zip-file');
const { HeadObjectCommand, S3Client } = createRequire(require.resolve('osls/package.json'))('@aws-sdk/client-s3');

const JSZip = createRequire(require.resolve('serverless-python-requirements/package.json'))('jszip');

// serverless-python-requirements asks for level 9, which takes more than twice the time of this one for 0.4 % fewer bytes.
const LEVEL = 6;
const generate = JSZip.prototype.generateNodeStream;
JSZip.prototype.generateNodeStream = function (options, onUpdate) {
  return generate.call(this, { ...options, compressionOptions: { level: LEVEL } }, onUpdate);
};

const ATTEMPTS = 500;
const PAUSE_MS = 10;
const MISSING = 404;

class Layer {
  constructor(serverless, _options, { progress }) {
    this.serverless = serverless;
    this.progress = progress;
    this.file = path.join(serverless.serviceDir, '.serverless', 'pythonRequirements.zip');
    this.hooks = {
      'after:package:createDeploymentArtifacts': () => this.appear(),
      'after:package:compileLayers': () => this.nameByContent(),
      'before:aws:deploy:deploy:uploadArtifacts': () => this.upload(),
    };
  }

  // serverless-python-requirements links the cached layer into .serverless, and does not wait for the
  // link: now and then osls looks for the file a moment too early (ENOENT). So this plugin has to come after it.
  async appear() {
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
      if (await lstat(this.file).catch(() => null)) return;
      await sleep(PAUSE_MS);
    }
    throw new Error(`The layer is not at ${this.file} five seconds after it was built: delete build/layer and try again.`);
  }

  async nameByContent() {
    const { service } = this.serverless;
    const hash = createHash('sha256').update(await readFile(this.file)).digest('hex');
    // Not in a folder that is named after a time: osls deletes such folders.
    this.content.S3Key = `${service.package.artifactsS3KeyDirname}/${hash}.zip`;
    service.provider.compiledCloudFormationTemplate.Outputs.PythonRequirementsLambdaLayerS3Key.Value = this.content.S3Key;
    // `upload` uploads it, not osls.
    service.getLayer('pythonRequirements').artifactAlreadyUploaded = true;
  }

  async upload() {
    if (this.serverless.service.provider.shouldNotDeploy) return;
    const provider = this.serverless.getProvider('aws');
    const bucketName = await provider.getServerlessDeploymentBucketName();
    if (await this.isIn(bucketName, provider)) return;
    this.progress.get('layer').notice('Uploading the layer');
    const { dir, base } = path.posix.parse(this.content.S3Key);
    const uploader = { serverless: this.serverless, provider, bucketName };
    await uploadZipFile.call(uploader, { filename: this.file, s3KeyDirname: dir, basename: base });
    this.progress.get('layer').remove();
  }

  async isIn(bucket, provider) {
    const s3 = new S3Client(await provider.getAwsSdkV3Config());
    try {
      await s3.send(new HeadObjectCommand({ Bucket: bucket, Key: this.content.S3Key }));
      return true;
    } catch (error) {
      if (error.$metadata?.httpStatusCode === MISSING) return false;
      throw error;
    }
  }

  get content() {
    return this.serverless.service.provider.compiledCloudFormationTemplate.Resources.PythonRequirementsLambdaLayer.Properties.Content;
  }
}

module.exports = Layer;
