#!/usr/bin/env node
// node score.mjs HOST:PORT FILE|URI...  prints a JSON object for each video, a line each; exits 1 if one has no verdict.
import { readFileSync } from "node:fs";
import { ScoringClient } from "./index.mjs";

const [target, ...names] = process.argv.slice(2);
if (names.length === 0) {
  console.error("usage: node score.mjs HOST:PORT FILE|URI...");
  process.exit(2);
}
function* requests() {
  for (const name of names) {
    yield /^(file|https?|s3|gs):/.test(name) ? { video_id: name, uri: name } : { video_id: name, content: readFileSync(name) };
  }
}
const client = new ScoringClient(target);
for await (const { videoId, verdict, error } of client.scoreStream(requests())) {
  if (error) process.exitCode = 1;
  const { code, reason, message } = error ?? {};
  const { action, labels, model_version, policy_version } = verdict ?? {};
  console.log(JSON.stringify({ file: videoId, ...(error ? { error: { code, reason, message } } : { action, labels, model_version, policy_version }) }));
}
client.close();
