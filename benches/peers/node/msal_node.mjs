#!/usr/bin/env node
/* MSAL Node and its extensions on one cache of caches.py: prints one JSON line (see ../README.md for its fields).
 *
 *     node --expose-gc msal_node.mjs DOCUMENT PROBES [--budget SECONDS] [--directory DIRECTORY]
 *
 * --directory also measures MSAL Node over a file in that directory, which must be empty: by a plugin that does what
 * the documentation of ICachePlugin shows, and by the plugin of MSAL Node Extensions. No network: a stub refuses every
 * request.
 */
import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";

import * as msal from "@azure/msal-node";

// Listing accounts is quadratic: half a minute at ten times as many tokens.
const LARGEST_LISTING = 1_000;

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { budget: { type: "string", default: "0.2" }, directory: { type: "string" } },
});
const [documentPath, probesPath] = positionals;
const budget = Number(options.budget) * 1e9;
const testCase = JSON.parse(fs.readFileSync(probesPath, "utf8"));
const { probes, tokens } = testCase;
const isUser = probes[0].home_account_id !== "";
const figures = {}, digests = {};

const clock = () => Number(process.hrtime.bigint());
const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];

/** The result of `call`, and how many nanoseconds it took. */
async function once(call) {
  const start = clock(), result = await call();
  return [result, clock() - start];
}

/** Median nanoseconds of `call` over the probes in turn. */
async function calls(call, { atLeast = 3, warmUp = true } = {}) {
  // Half of the budget for the compiler to see what runs often.
  const warm = clock() + budget / 2;
  for (let i = 0; warmUp && (i === 0 || clock() < warm); i++) await call(probes[i % probes.length]);
  const times = [], end = clock() + budget;
  for (let i = 0; (clock() < end || i < atLeast) && i < 20_000; i++) {
    const probe = probes[i % probes.length], start = clock();
    await call(probe);
    times.push(clock() - start);
  }
  return median(times);
}

/** Median nanoseconds of `call` on what `make` makes; it took `first` once, and is repeated within the budget. */
async function rounds(call, first, make = () => undefined) {
  const times = [first], end = clock() + budget - first;
  while (clock() < end) {
    const made = make();
    times.push((await once(() => call(made)))[1]);
  }
  return median(times);
}

/** Median nanoseconds of `call` when the file was changed before it. */
async function changes(call, file) {
  const times = [], end = clock() + budget;
  do {
    const later = new Date(Date.now() + 10);
    fs.utimesSync(file, later, later);
    times.push((await once(() => call(probes[times.length % probes.length])))[1]);
  } while (clock() < end);
  return median(times);
}

async function digest(call) {
  const answers = [];
  for (const probe of probes.slice(0, testCase.checked)) answers.push(await call(probe));
  return createHash("sha256").update(answers.join("\n")).digest("hex");
}

/** The network that is not there. */
const stub = {
  sendGetRequestAsync: async () => { throw new Error("stub"); },
  sendPostRequestAsync: async () => { throw new Error("stub"); },
};

function application(cachePlugin) {
  return new msal.ConfidentialClientApplication({
    auth: {
      clientId: testCase.client_id, clientSecret: "x", authority: `https://${testCase.environment}/${testCase.realm}`,
    },
    cache: cachePlugin ? { cachePlugin } : {},
    system: { networkClient: stub, loggerOptions: { logLevel: msal.LogLevel.Error, loggerCallback() {} } },
  });
}

async function ask(app, probe, scopes) {
  const authority = `https://${testCase.environment}/${probe.realm}`;
  if (!isUser) return (await app.acquireTokenByClientCredential({ scopes, authority })).accessToken;
  const account = {
    homeAccountId: probe.home_account_id, environment: testCase.environment, tenantId: probe.realm, username: "user",
    localAccountId: probe.home_account_id.split(".")[0],
  };
  return (await app.acquireTokenSilent({ account, scopes, authority })).accessToken;
}

const exact = (app) => (probe) => ask(app, probe, probe.scopes);
const subset = (app) => (probe) => ask(app, probe, probe.scopes.slice(-1));
const miss = (app) => async (probe) => {
  const answer = await ask(app, probe, [testCase.absent_scope]).catch(() => undefined);
  if (answer !== undefined) throw new Error("a miss was answered");
};

async function measure() {
  collect();
  const empty = process.memoryUsage().rss;
  const app = application(), cache = app.getTokenCache();
  let text = fs.readFileSync(documentPath, "utf8");
  const [, firstLoad] = await once(() => cache.deserialize(text));
  text = undefined;
  collect();
  figures["memory.per_token"] = (process.memoryUsage().rss - empty) / tokens;
  const [, firstSave] = await once(() => cache.serialize());
  figures["document.save"] = await rounds(() => cache.serialize(), firstSave);
  figures["memory.peak"] = process.resourceUsage().maxRSS * 1024;
  text = fs.readFileSync(documentPath, "utf8");
  figures["document.load"] = await rounds(
    (fresh) => fresh.deserialize(text), firstLoad, () => application().getTokenCache());
  text = undefined;
  collect();

  digests.exact = await digest(exact(app));
  figures["call.exact"] = await calls(exact(app));
  figures["call.miss"] = await calls(miss(app));
  if (isUser) {
    digests.subset = await digest(subset(app));
    figures["call.subset"] = await calls(subset(app));
  }
  if (testCase.kind === "users" && tokens <= LARGEST_LISTING) {
    figures["call.accounts"] = await calls(() => cache.getAllAccounts(), { atLeast: 1 });
  }
  if (options.directory) await measureFile(path.join(options.directory, "cache.json"));
}

async function measureFile(file) {
  fs.copyFileSync(documentPath, file);
  const plugin = {
    async beforeCacheAccess(context) { context.tokenCache.deserialize(await fs.promises.readFile(file, "utf8")); },
    async afterCacheAccess(context) {
      if (context.cacheHasChanged) await fs.promises.writeFile(file, context.tokenCache.serialize());
    },
  };
  const over = application(plugin), cache = over.getTokenCache();
  digests.file = await digest(exact(over));
  figures["file.plugin"] = await calls(exact(over), { atLeast: 1, warmUp: false });
  figures["file.save_one"] = await calls(async () => {
    const context = { tokenCache: cache, cacheHasChanged: true };
    await plugin.beforeCacheAccess(context);
    const [key] = cache.storage.getTokenKeys().accessToken;
    cache.storage.setItem(key, { ...cache.storage.getItem(key) });
    await plugin.afterCacheAccess(context);
  }, { atLeast: 1, warmUp: false });

  const extended = application(await extensionPlugin(file));
  digests["file.extensions"] = await digest(exact(extended));
  figures["file.unchanged"] = await calls(exact(extended), { atLeast: 1, warmUp: false });
  figures["file.changed"] = await changes(exact(extended), file);
}

/** The plugin of MSAL Node Extensions over a plain file. Their main module loads a native keyring; these do not. */
async function extensionPlugin(file) {
  const load = (module) => import(fileOf("@azure/msal-node-extensions", `dist/persistence/${module}.mjs`));
  const { FilePersistence } = await load("FilePersistence");
  const { PersistenceCachePlugin } = await load("PersistenceCachePlugin");
  return new PersistenceCachePlugin(await FilePersistence.create(file));
}

function fileOf(name, file) {
  return new URL(`node_modules/${name}/${file}`, import.meta.url);
}

function version(name) {
  return JSON.parse(fs.readFileSync(fileOf(name, "package.json"))).version;
}

function collect() {
  globalThis.gc?.();
}

await measure();
const versions = {
  "MSAL Node": version("@azure/msal-node"),
  "MSAL Node Extensions": version("@azure/msal-node-extensions"),
  "Node.js": process.versions.node,
};
process.stdout.write(JSON.stringify({ versions, digests, figures }) + "\n");
