// Shows a push being built, with the service as `make build` left it and the files of examples/.
//
// Starts the service on loopback, commits examples/hello to a local repository, sends the webhook
// that GitHub would send, follows the log, and prints the result. On a terminal the service stays
// until Ctrl-C, so that the monitor can be looked at; elsewhere the exit status is the build's: 0 if
// it succeeded. All it writes is under .demo/, and a later run goes on from what is there.
import { execFileSync, spawn } from "node:child_process";
import { createHmac, randomBytes, randomUUID } from "node:crypto";
import { cpSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const demo = join(root, ".demo");
const program = join(root, "target/release/autobuilder");
const config = join(root, "examples/config.yaml");
// What examples/config.yaml says.
const service = "http://127.0.0.1:5560";
const binaries = join(demo, "binaries");

const repository = "acme/hello";
const branch = "main";
const bareRepository = join(demo, "git", repository);
const workTree = join(demo, "hello");
const serviceLog = join(demo, "service.log");
const webhookSecret = randomBytes(20).toString("hex");

const onTerminal = process.stdin.isTTY && process.stdout.isTTY;
const pending = ["queued", "preparing", "building", "collecting", "publishing"];

// The client finds address and token by the service file, so what the shell has must not lead it away.
const environment = { ...process.env, DEMO_GIT_URL: join(demo, "git"), DEMO_WEBHOOK_SECRET: webhookSecret };
delete environment.AUTOBUILDER_URL;
delete environment.AUTOBUILDER_TOKEN;

class DemoError extends Error {}

function step(title) {
  console.log(process.stdout.isTTY ? `\n\x1b[1m==> ${title}\x1b[0m` : `\n==> ${title}`);
}

/** Starts the program in a process group of its own: Ctrl-C is for the demo, which ends things in order. */
function start(words, output) {
  const child = spawn(program, [...words, "--config", config], {
    env: environment,
    detached: true,
    stdio: ["ignore", output, output],
  });
  child.ended = new Promise((resolve) => {
    child.on("error", resolve);
    child.on("exit", resolve);
  });
  return child;
}

const client = (...words) => start(words, "inherit");

async function answers(path) {
  try {
    return (await fetch(service + path)).ok;
  } catch {
    return false;
  }
}

// ---- The repository

function git(...words) {
  // Whatever this user's own git is set to (signing, hooks, another name) has no part in the demo.
  const settings = ["commit.gpgSign=false", "core.hooksPath=/dev/null", "user.name=Demo", "user.email=demo@example.com"];
  return execFileSync("git", [...settings.flatMap((setting) => ["-c", setting]), ...words], { encoding: "utf8" }).trim();
}

function makeRepository() {
  if (!existsSync(bareRepository)) {
    git("init", "--quiet", "--bare", "--initial-branch", branch, bareRepository);
  }
  if (!existsSync(workTree)) {
    git("init", "--quiet", "--initial-branch", branch, workTree);
    git("-C", workTree, "remote", "add", "origin", bareRepository);
  }
}

function head() {
  try {
    return git("-C", workTree, "rev-parse", "--verify", "--quiet", `refs/heads/${branch}`);
  } catch {
    return null;
  }
}

/** Commits and pushes examples/hello, and returns what GitHub would tell about that. */
function push() {
  const before = head();
  cpSync(join(root, "examples/hello"), workTree, { recursive: true });
  git("-C", workTree, "add", "--all");
  // Empty when the files are as the last run left them; it is a push all the same.
  git("-C", workTree, "commit", "--quiet", "--allow-empty", "--message", "Say hello");
  git("-C", workTree, "push", "--quiet", "origin", branch);

  const after = head();
  const [owner, name] = repository.split("/");
  const webUrl = `https://github.com/${repository}`;
  const [tree, timestamp, author, email, message] = git(
    "-C", workTree, "show", "--no-patch", "--format=%T%n%aI%n%an%n%ae%n%s", after,
  ).split("\n");
  const commit = {
    id: after,
    tree_id: tree,
    distinct: true,
    message,
    timestamp,
    url: `${webUrl}/commit/${after}`,
    author: { name: author, email },
    committer: { name: author, email },
    added: [],
    removed: [],
    modified: [],
  };
  return {
    ref: `refs/heads/${branch}`,
    before: before ?? "0".repeat(40),
    after,
    repository: {
      id: 1,
      name,
      full_name: repository,
      private: false,
      owner: { name: owner, login: owner, id: 1, type: "Organization" },
      html_url: webUrl,
      clone_url: `${webUrl}.git`,
      default_branch: branch,
    },
    pusher: { name: owner },
    sender: { login: owner, id: 1, type: "User" },
    created: before === null,
    deleted: false,
    forced: false,
    base_ref: null,
    compare: before ? `${webUrl}/compare/${before}...${after}` : `${webUrl}/commit/${after}`,
    commits: [commit],
    head_commit: commit,
  };
}

/** Sends the push as GitHub does, and returns the first build that it caused. */
async function sendWebhook(payload) {
  const body = JSON.stringify(payload);
  const response = await fetch(`${service}/build/demo/hook`, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      "user-agent": "GitHub-Hookshot/demo",
      "x-github-delivery": randomUUID(),
      "x-github-event": "push",
      "x-hub-signature-256": `sha256=${createHmac("sha256", webhookSecret).update(body).digest("hex")}`,
    },
    body,
  });
  const answer = await response.text();
  if (response.status !== 202) {
    throw new DemoError(`the webhook was answered with ${response.status}: ${answer}`);
  }
  return JSON.parse(answer).builds[0];
}

// ---- The service

async function startService() {
  if (await answers("/healthz")) {
    throw new DemoError(`something already serves ${service}; stop it first`);
  }
  running = start(["serve"], openSync(serviceLog, "a"));
  let ended = false;
  running.ended.then(() => (ended = true));

  const deadline = Date.now() + 30_000;
  while (!(await answers("/readyz"))) {
    if (ended || Date.now() > deadline) {
      if (!interrupted) console.error(readFileSync(serviceLog, "utf8").split("\n").slice(-20).join("\n"));
      throw new DemoError(`the service ${ended ? "ended" : "was not ready in 30 s"}; its log is ${serviceLog}`);
    }
    await sleep(100);
  }
}

/** Waits for the end state, which comes soon after the end of the log. */
async function endOf(id) {
  const deadline = Date.now() + 60_000;
  for (;;) {
    const build = await (await fetch(`${service}/api/v1/builds/${id}`)).json();
    if (!pending.includes(build.state)) return build;
    if (Date.now() > deadline) throw new DemoError(`build ${id} is still ${build.state}, though its log has ended`);
    await sleep(100);
  }
}

// ---- The result

function table(rows) {
  for (const [name, value] of rows) console.log(`${name.padEnd(10)} ${value}`);
}

function stableNames() {
  if (!existsSync(binaries)) return [];
  return readdirSync(binaries, { withFileTypes: true })
    .filter((entry) => entry.isSymbolicLink())
    .map((entry) => join(binaries, entry.name));
}

function show(build) {
  const seconds = build.started ? (Date.parse(build.ended) - Date.parse(build.started)) / 1000 : 0;
  table([
    ["state", build.reason ? `${build.state}: ${build.reason}` : build.state],
    ["commit", build.commit],
    ["duration", `${seconds} s`],
    ["log", `${build.log.lines} lines, ${build.log.bytes} bytes`],
    ...build.artifacts.flatMap((artifact) => [
      ["artifact", `${artifact.name}, ${artifact.size} bytes`],
      ["sha256", artifact.sha256],
    ]),
    ...stableNames().map((path) => ["stable", `${path} -> ${readlinkSync(path)}`]),
  ]);
  step("To open");
  table([
    ["monitor", new URL(build.url, service)],
    ["log", `${service}/api/v1/builds/${build.id}/log`],
    ...build.artifacts.map((artifact) => ["artifact", new URL(artifact.url, service)]),
  ]);
}

// ---- The demo

let running = null;
let unfinished = null;
let interrupted = false;

// A build outlives its service on purpose, so one that is interrupted here is cancelled first; the
// demo then goes on to its end as after any build. A second signal does not wait for that.
function interrupt() {
  if (interrupted || !unfinished) running?.kill();
  else start(["cancel", unfinished], "ignore");
  if (interrupted) process.exit(130);
  interrupted = true;
}
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, interrupt);

async function main() {
  mkdirSync(demo, { recursive: true });
  makeRepository();

  step(`The service on ${service}`);
  await startService();
  console.log(`its log: ${serviceLog}`);

  step(`A push to ${repository}, branch ${branch}`);
  const { id, url } = await sendWebhook(push());
  unfinished = id;
  console.log(`build ${id}: ${url}`);

  step("Its log, live");
  await client("logs", id, "--follow").ended;

  step("The result");
  const build = await endOf(id);
  unfinished = null;
  show(build);

  if (onTerminal && !interrupted) {
    step("Serving until Ctrl-C");
    await running.ended;
  }
  return build.state === "succeeded";
}

try {
  process.exitCode = (await main()) ? 0 : 1;
} catch (error) {
  // What fails after an interrupt fails because the service is gone.
  if (!interrupted) console.error(error instanceof DemoError ? `demo: error: ${error.message}` : error);
  process.exitCode = interrupted ? 130 : 1;
} finally {
  running?.kill();
  await running?.ended;
}
