// Makes a Node.js folder ready to run, in an image as without one: `packages` has npm install what package.json names, exactly as
// its lock file has it where there is one (where it names nothing, no npm needs to be there); `sources` looks whether what it
// starts with is there and can be read; without a word, both.
const { existsSync, readFileSync, statSync } = require("node:fs");
const { spawnSync } = require("node:child_process");

// Steps of the package's own that `npm install` runs.
const STEPS = ["preinstall", "install", "postinstall", "prepublish", "preprepare", "prepare", "postprepare"];
const NAMES = ["dependencies", "optionalDependencies", "peerDependencies", "workspaces"];

function fail(why) {
  console.error(why);
  process.exit(1);
}

function card() {
  try {
    return JSON.parse(readFileSync("package.json", "utf8").replace(/^\uFEFF/, ""));
  } catch (error) {
    return fail(`package.json: ${error.message}; correct it and deploy again`);
  }
}

// The file that `node .` runs, as node looks for it.
function main(name = "index.js") {
  const ends = ["", ".js", ".json", ".node", "/index.js", "/index.json", "/index.node"];
  const paths = [...ends.map((end) => name + end), "index.js", "index.json", "index.node"];
  const found = paths.find((path) => statSync(path, { throwIfNoEntry: false })?.isFile());
  return found ?? fail(`package.json: its main file ${name} is not there: add it, or name another as "main"`);
}

function check({ main: name }) {
  const path = main(name || undefined);
  if (/\.[cm]?js$/.test(path) && spawnSync(process.execPath, ["--check", path], { stdio: "inherit" }).status !== 0) {
    fail(`${path}: node cannot read it, what it said is above; correct it and deploy again`);
  }
}

function install({ scripts = {}, ...named }) {
  const locked = ["package-lock.json", "npm-shrinkwrap.json"].some((name) => existsSync(name));
  const wanted = NAMES.some((name) => Object.keys(named[name] ?? {}).length > 0) || STEPS.some((name) => scripts[name]);
  if (!wanted) {
    console.log("package.json: nothing to install");
    return;
  }
  // Without links: a bundle holds none.
  const flags = ["--omit=dev", "--no-bin-links", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error"];
  const npm = spawnSync("npm", [locked ? "ci" : "install", ...flags], { stdio: "inherit" });
  if (npm.error) {
    const why = npm.error.code === "ENOENT" ? "there is no npm here to install it: install npm" : npm.error.message;
    fail(`package.json has something to install, and ${why}`);
  }
  if (npm.status !== 0) {
    fail("package.json: npm could not install all it names; what it said is above");
  }
}

const steps = process.argv.slice(2);
const said = card();
if (steps.length === 0 || steps.includes("packages")) install(said);
// A step of the package's own may have made it.
if (steps.length === 0 || steps.includes("sources")) check(said);
