// What @huggingface/hub brings of the repos in the plan, as JSON: listings, infos, SHA-256 of files, of parts, of snapshots.
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import {
  datasetInfo, downloadFile, fileDownloadInfo, listFiles, modelInfo, snapshotDownload, spaceInfo,
} from "@huggingface/hub";

const INFO = { model: modelInfo, dataset: datasetInfo, space: spaceInfo };
const PART = [3, 100_003];
const plan = JSON.parse(process.argv[2]);
const told = [];
console.debug = () => {};

const digest = (bytes) => createHash("sha256").update(bytes).digest("hex");
const taken = async (blob) => digest(Buffer.from(await blob.arrayBuffer()));

for (const { type, id, revision, files } of plan) {
  const at = { repo: { type, name: id }, revision };
  const found = { listed: {}, infos: {}, files: {}, parts: {}, snapshot: {} };
  for await (const entry of listFiles({ ...at, recursive: true }))
    if (entry.type === "file") found.listed[entry.path] = entry.size;
  const folder = await snapshotDownload(at);
  for (const path of Object.keys(found.listed)) found.snapshot[path] = digest(await readFile(join(folder, path)));
  for (const path of files) {
    const info = await fileDownloadInfo({ ...at, path });
    found.infos[path] = { size: info.size, etag: info.etag, xet: Boolean(info.xet) };
    found.files[path] = await taken(await downloadFile({ ...at, path }));
    found.parts[path] = await taken((await downloadFile({ ...at, path })).slice(...PART));
  }
  found.commit = (await INFO[type]({ name: id, additionalFields: ["sha"] })).sha; // of no revision that we name
  found.absent = await downloadFile({ ...at, path: "absent.json" });
  told.push(found);
}
console.log(JSON.stringify(told));
