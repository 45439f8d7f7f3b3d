// Loaded before a command (node --import): the process kills itself with SIGKILL in the n-th change of a file, such as
// "write /a/b", that fits a pattern: WGRAD_KILL_AT=pattern:n. A write is killed halfway; anything else before it is done.
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";

const [pattern, count] = process.env.WGRAD_KILL_AT.split(":");
const wanted = new RegExp(pattern);
let left = Number(count);

/** Counts one change; on the last does `half` of it, says where, and dies. */
function change(what, path, half = () => {}) {
  if (!wanted.test(`${what} ${path}`) || --left > 0) return;
  half();
  fs.writeSync(2, `killed: ${what} ${path}\n`);
  process.kill(process.pid, "SIGKILL");
}

const firstHalf = (data) => data.slice(0, data.length >> 1);
const { promises } = fs;
const { rename, rm, link, mkdir, writeFile, open } = promises;
Object.assign(promises, {
  rename: (from, to) => (change("rename", to), rename(from, to)),
  rm: (path, options) => (change("rm", path), rm(path, options)),
  link: (from, to) => (change("link", to), link(from, to)),
  mkdir: (path, options) => (change("mkdir", path), mkdir(path, options)),
  writeFile: (path, data, options) => {
    change("write", path, () => fs.writeFileSync(path, firstHalf(data), options));
    return writeFile(path, data, options);
  },
  open: async (path, flags) => {
    const file = await open(path, flags);
    const { write, appendFile, sync } = file;
    return Object.assign(file, {
      write: (bytes, at, length) => {
        change("write", path, () => fs.writeSync(file.fd, bytes, at, length >> 1));
        return write.call(file, bytes, at, length);
      },
      appendFile: (data) => {
        change("append", path, () => fs.writeSync(file.fd, firstHalf(data)));
        return appendFile.call(file, data);
      },
      sync: () => (change("sync", path), sync.call(file)),
    });
  },
});
syncBuiltinESMExports();
