// MSAL Node with its extensions, as a peer: see ../README.md.
//
// The packages are found in the folder that INTEROP_NODE_MODULES names. Of the extensions, the lock, file persistence
// and cache plugin are loaded by their paths: the package's main module needs a native keyring.
import { once } from "node:events";
import { readFileSync } from "node:fs";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

import { IdentityProvider, definitions, homeAccountId } from "./identity.mjs";

const modules = path.join(process.env.INTEROP_NODE_MODULES, "@azure");
const load = (file) => import(pathToFileURL(path.join(modules, file)).href);
const { ConfidentialClientApplication, PublicClientApplication } = await load("msal-node/dist/index.mjs");
const { CrossPlatformLock } = await load("msal-node-extensions/dist/lock/CrossPlatformLock.mjs");
const { FilePersistence } = await load("msal-node-extensions/dist/persistence/FilePersistence.mjs");
const { PersistenceCachePlugin } = await load("msal-node-extensions/dist/persistence/PersistenceCachePlugin.mjs");

const PACKAGES = ["msal-node", "msal-node-extensions"];
// The library's own default: 50 seconds.
const LOCK = { retryNumber: 500, retryDelay: 100 };

/** The library has no such flow. */
class Unsupported extends Error {}

/** The command line is not understood. */
class Usage extends Error {}

const COMMANDS = {
    versions,
    "sign-in": signIn,
    silent,
    refresh,
    remove,
    hold,
    "stray-unlink": strayUnlink,
    write,
};

async function main() {
    try {
        const { command, options } = commandLine();
        for await (const line of COMMANDS[command](options)) say(line);
        return 0;
    } catch (error) {
        if (error instanceof Usage) {
            console.error(error.message);
            return 2;
        }
        if (error instanceof Unsupported) {
            say({ unsupported: error.message });
            return 3;
        }
        say({ error: described(error) });
        return 1;
    }
}

function commandLine() {
    const names = ["flow", "cache", "tag", "count", "mode", "hold-ms", "pause-ms", "start-at", "progress"];
    const options = Object.fromEntries(names.map((name) => [name, { type: "string" }]));
    let parsed;
    try {
        parsed = parseArgs({ options, allowPositionals: true });
    } catch (error) {
        throw new Usage(error.message);
    }
    const { positionals, values } = parsed;
    const [command] = positionals;
    if (positionals.length !== 1 || !(command in COMMANDS)) {
        throw new Usage(`peer.mjs ${Object.keys(COMMANDS).join("|")} [options]`);
    }
    if (values.cache) values.cache = path.resolve(values.cache);
    if (values.flow && !definitions.flows[values.flow]) throw new Usage(`no flow ${values.flow}`);
    return { command, options: values };
}

function say(line) {
    console.log(JSON.stringify(line));
}

function described(error) {
    return `${error.errorCode ?? error.name}: ${error.message}`;
}

async function* versions() {
    const version = (name) => JSON.parse(readFileSync(path.join(modules, name, "package.json"), "utf8")).version;
    yield { peer: "node", versions: Object.fromEntries(PACKAGES.map((name) => [name, version(name)])) };
}

// Tokens.

/** Signs in with each flow that this one comes after, then with this one. */
async function* signIn({ flow, cache }) {
    const definition = definitions.flows[flow];
    if (definition.after) await (await Application.open(cache, definition.after)).signIn();
    await (await Application.open(cache, flow)).signIn();
    yield stored(cache, definition);
}

/** What the library has stored of the token of this flow. */
function stored(cache, { response, components }) {
    const document = JSON.parse(readFileSync(cache, "utf8"));
    const found = (section, secret) => Object.values(document[section]).find((entity) => entity.secret === secret);
    const token = found("AccessToken", response.access_token);
    const refresh = response.refresh_token && found("RefreshToken", response.refresh_token);
    const accounts = Object.values(document.Account);
    return {
        access_token: token.secret,
        refresh_token: refresh?.secret,
        family_id: refresh?.family_id,
        home_account_id: token.home_account_id,
        username: accounts.find((account) => account.home_account_id === token.home_account_id)?.username,
        environment: token.environment,
        realm: token.realm,
        client_id: token.client_id,
        scopes: token.target.split(" "),
        key_id: token.key_id,
        assertion_hash: token.userAssertionHash,
        components: token.additionalCacheKeyComponents && components,
    };
}

async function* silent({ flow, cache }) {
    const application = await Application.open(cache, flow);
    let result, error;
    try {
        result = await application.silent();
    } catch (raised) {
        error = described(raised); // a miss shows as the refusal of the identity provider, through the library
    }
    const accounts = (await application.accounts()).map((account) => ({
        home_account_id: account.homeAccountId,
        username: account.username,
    }));
    const http = application.provider.sent.length;
    yield { access_token: result?.accessToken ?? null, http, accounts, error: error ?? null };
}

async function* refresh({ flow, cache }) {
    const application = await Application.open(cache, flow);
    application.provider.answer = application.definition.response;
    if (application.definition.grant === "code") await application.silent({ forceRefresh: true });
    const sent = application.provider.sent.find((form) => form.has("refresh_token"));
    yield { refresh_token_sent: sent?.get("refresh_token") ?? null };
}

async function* remove({ cache }) {
    const { client } = await WritingApplication.open(cache);
    const removed = [];
    for (const account of await client.getTokenCache().getAllAccounts()) {
        await client.getTokenCache().removeAccount(account);
        removed.push(account.homeAccountId);
    }
    yield { removed };
}

async function plugin(cache) {
    return new PersistenceCachePlugin(await FilePersistence.create(cache), LOCK);
}

/** The application of a flow over the library's own persistence. */
class Application {
    provider = new IdentityProvider();

    static async open(cache, flow) {
        if (flow === "pop") throw new Unsupported("MSAL Node implements no key for proof of possession");
        const application = new Application();
        application.definition = definitions.flows[flow];
        const { application: kind, client_id: clientId, authority, authority_type } = application.definition;
        const auth = { clientId, authority };
        if (authority_type !== "aad") auth.knownAuthorities = [new URL(authority).host];
        if (kind === "confidential") auth.clientSecret = definitions.client_secret;
        const Client = kind === "confidential" ? ConfidentialClientApplication : PublicClientApplication;
        application.client = new Client({
            auth,
            cache: { cachePlugin: await plugin(cache) },
            system: { networkClient: application.provider },
        });
        return application;
    }

    async signIn() {
        this.provider.answer = this.definition.response;
        if (this.definition.grant !== "code") return this.request();
        const redirectUri = definitions.redirect_uri;
        return this.client.acquireTokenByCode({ code: "code", redirectUri, ...this.scopes() });
    }

    /** The scopes, and what binds a token to a key. */
    scopes() {
        const { scopes, jwk, key_id: sshKid } = this.definition;
        if (!jwk) return { scopes };
        return { scopes, authenticationScheme: "ssh-cert", sshJwk: JSON.stringify(jwk), sshKid };
    }

    /** Asks the cache first. */
    async request() {
        const { grant, scopes, assertion, components } = this.definition;
        if (grant === "on_behalf_of") {
            // The look-up for an assertion does not load the stored cache; listing the accounts does.
            await this.accounts();
            return this.client.acquireTokenOnBehalfOf({ scopes, oboAssertion: assertion });
        }
        return this.client.acquireTokenByClientCredential({ scopes, fmiPath: components?.fmi_path });
    }

    async silent(more = {}) {
        if (this.definition.grant !== "code") return this.request();
        const wanted = homeAccountId(this.definition);
        const accounts = (await this.accounts()).filter((one) => one.homeAccountId === wanted);
        // A guest may be listed once for each tenant.
        const account = accounts.find((one) => this.definition.authority.endsWith(one.tenantId)) ?? accounts[0];
        if (!account) throw new Error("no account");
        return this.client.acquireTokenSilent({ account, ...this.scopes(), ...more });
    }

    async accounts() {
        return this.client.getTokenCache().getAllAccounts();
    }
}

// The lock and the file.

async function* hold(options) {
    const lock = await fileLock(options.cache);
    await lock.lock();
    yield { event: "held", pid: process.pid };
    await sleep(Number(options["hold-ms"] ?? 0));
    await lock.unlock();
    yield { event: "released" };
}

async function fileLock(cache) {
    const persistence = await FilePersistence.create(cache);
    return new CrossPlatformLock(`${cache}.lockfile`, persistence.getLogger(), LOCK);
}

async function* write(options) {
    const { tag, mode = "raw", cache } = options;
    const update = mode === "raw" ? await rawUpdate(cache) : await libraryUpdate(cache);
    await sleep(Math.max(0, Number(options["start-at"] ?? 0) * 1000 - Date.now()));
    const acked = [];
    const errors = {};
    for (let index = 0; index < Number(options.count ?? 50); index++) {
        try {
            await update(tag, index);
            acked.push(index);
            if (options.progress === "yes") yield { ack: index };
        } catch (error) {
            const name = error.errorCode ?? error.name; // counted by name, never hidden
            errors[name] = (errors[name] ?? 0) + 1;
        }
        await sleep(Math.random() * 2 * Number(options["pause-ms"] ?? 0));
    }
    yield { tag, acked, errors };
}

async function rawUpdate(cache) {
    const persistence = await FilePersistence.create(cache);
    const lock = await fileLock(cache);
    return async (tag, index) => {
        await lock.lock();
        try {
            const text = await persistence.load();
            const document = text ? JSON.parse(text) : {};
            const entry = token(tag, index);
            (document.AccessToken ??= {})[key(entry)] = entry;
            await persistence.save(JSON.stringify(document));
        } finally {
            await lock.unlock();
        }
    };
}

async function libraryUpdate(cache) {
    return (await WritingApplication.open(cache)).update;
}

/** A long-lived application with one user, and a sign-in per update, answered by the stub. */
class WritingApplication {
    provider = new IdentityProvider();

    static async open(cache) {
        const application = new WritingApplication();
        const { client_id: clientId, authority } = definitions.write;
        application.client = new PublicClientApplication({
            auth: { clientId, authority },
            cache: { cachePlugin: await plugin(cache) },
            system: { networkClient: application.provider },
        });
        return application;
    }

    update = async (tag, index) => {
        const { client_id, authority, uid, realm: utid, username } = definitions.write;
        const scope = `peer.${tag}.${index}`;
        const claims = { aud: client_id, iss: `${authority}/v2.0`, sub: uid, oid: uid, tid: utid };
        this.provider.answer = {
            token_type: "Bearer",
            scope,
            expires_in: 3600,
            access_token: `synthetic-${tag}-${index}`,
            refresh_token: `refresh-${tag}`,
            id_token: { ...claims, preferred_username: username },
            client_info: { uid, utid },
        };
        await this.accounts();
        await this.client.acquireTokenByCode({ code: "code", redirectUri: definitions.redirect_uri, scopes: [scope] });
    };

    async accounts() {
        return this.client.getTokenCache().getAllAccounts();
    }
}

/** Once the plugin has held the lock, each read that finds nothing new deletes the lock file, whoever holds it. */
async function* strayUnlink({ cache }) {
    const application = await WritingApplication.open(cache);
    await application.update("stray", 0);
    await application.accounts(); // loads what it has written itself
    yield { event: "ready" };
    await once(process.stdin, "data");
    process.stdin.destroy();
    await application.accounts();
    yield { event: "read" };
}

function token(tag, index) {
    const { home_account_id, environment, client_id, realm } = definitions.write;
    const now = Math.floor(Date.now() / 1000);
    return {
        credential_type: "AccessToken",
        home_account_id,
        environment,
        client_id,
        realm,
        target: `peer.${tag}.${index}`,
        token_type: "Bearer",
        secret: `synthetic-${tag}-${index}`,
        cached_at: String(now),
        expires_on: String(now + 3600),
        extended_expires_on: String(now + 7200),
    };
}

function key({ home_account_id, environment, client_id, realm, target }) {
    return [home_account_id, environment, "accesstoken", client_id, realm, target].join("-").toLowerCase();
}

process.exitCode = await main();
