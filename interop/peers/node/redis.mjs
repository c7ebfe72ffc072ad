// MSAL Node over Redis by its DistributedCachePlugin, as a worker: see ../README.md.
import path from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

const modules = process.env.INTEROP_NODE_MODULES;
const load = (file) => import(pathToFileURL(path.join(modules, file)).href);
const { ConfidentialClientApplication, DistributedCachePlugin } = await load("@azure/msal-node/dist/index.mjs");
const { createClient } = (await load("redis/dist/index.js")).default;

// The application that all workers are, as MSAL.NET's program has it.
const CLIENT = "11111111-2222-3333-4444-555555555555";
const TENANT = "00000000-0000-0000-0000-0000000000bb";
const HOST = "login.microsoftonline.com";
const STORED_HOST = "login.windows.net";
const BASE = `https://${HOST}/${TENANT}`;
// As long as the sample keeps a partition, in seconds.
const KEPT_FOR = 86_400;

const { values: options } = parseArgs({ options: { id: { type: "string" }, port: { type: "string" } } });
const redis = createClient({ url: `redis://127.0.0.1:${options.port}` });
redis.on("error", (error) => console.error(error.message));
await redis.connect();

const objectId = (user) => `aaaaaaaa-0000-4000-8000-${String(user).padStart(12, "0")}`;
const home = (user) => `${objectId(user)}.${TENANT}`;
const tenant = (number) => `cccccccc-0000-4000-8000-${String(number).padStart(12, "0")}`;
const encoded = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
const jwt = (claims, length) => `${encoded({ alg: "none", typ: "JWT" })}.${encoded(claims)}.${"s".repeat(length)}`;

/** The sample's client of the cache, behind a slower network. */
function cacheClient(delay) {
    return {
        async get(key) {
            const value = await redis.get(key);
            if (delay) await sleep(delay);
            return value ?? "";
        },
        async set(key, value) {
            if (delay) await sleep(delay);
            return redis.set(key, value, { EX: KEPT_FOR });
        },
    };
}

/** The token endpoint: answers at once with new tokens for the user. */
function identityProvider(user) {
    return {
        async sendGetRequestAsync(url) {
            throw new Error(`refused: ${url}`);
        },
        async sendPostRequestAsync(_url, { body }) {
            const form = new URLSearchParams(body);
            const number = await redis.incr("seq");
            const answer = { token_type: "Bearer", expires_in: 3600, access_token: jwt({ user, number }, 1440) };
            if (form.get("grant_type") === "client_credentials") return reply(answer);
            const claims = {
                oid: objectId(user),
                tid: TENANT,
                sub: `sub${user}`,
                preferred_username: `user${user}@contoso.test`,
                name: `User ${user}`,
                iss: `${BASE}/v2.0`,
                aud: CLIENT,
                ver: "2.0",
            };
            return reply({
                ...answer,
                scope: form.get("scope").split(" ").filter((scope) => scope.includes("/")).join(" "),
                refresh_token: `0.${number}.${user}.${"r".repeat(1300)}`,
                id_token: jwt(claims, 342),
                client_info: encoded({ uid: objectId(user), utid: TENANT }),
            });
        },
    };
}

function reply(body) {
    return { status: 200, headers: {}, body };
}

const authorityMetadata = (base) =>
    JSON.stringify({
        token_endpoint: `${base}/oauth2/v2.0/token`,
        authorization_endpoint: `${base}/oauth2/v2.0/authorize`,
        issuer: `${base}/v2.0`,
        jwks_uri: `${base}/discovery/v2.0/keys`,
        end_session_endpoint: `${base}/oauth2/v2.0/logout`,
    });
const cloudDiscoveryMetadata = JSON.stringify({
    tenant_discovery_endpoint: `${BASE}/v2.0/.well-known/openid-configuration`,
    "api-version": "1.1",
    metadata: [{ preferred_network: HOST, preferred_cache: STORED_HOST, aliases: [HOST, STORED_HOST] }],
});

/** An application of its own for each request, as the documentation of the plugin asks for. */
function application({ Flow: flow, User: user, Delay: delay }) {
    const key = flow === "client" ? `${CLIENT}.${tenant(user)}` : home(user);
    const partitions = { getKey: async () => key, extractKey: async (account) => account.homeAccountId };
    const authority = flow === "client" ? `https://${HOST}/${tenant(user)}` : BASE;
    return new ConfidentialClientApplication({
        auth: {
            clientId: CLIENT,
            authority,
            clientSecret: "not-a-secret",
            authorityMetadata: authorityMetadata(authority),
            cloudDiscoveryMetadata,
        },
        cache: { cachePlugin: new DistributedCachePlugin(cacheClient(delay), partitions) },
        system: { networkClient: identityProvider(user) },
    });
}

const account = (user) => ({
    homeAccountId: home(user),
    environment: STORED_HOST,
    tenantId: TENANT,
    username: `user${user}@contoso.test`,
    localAccountId: objectId(user),
});

async function get(order, scope) {
    const client = application(order);
    if (order.Flow === "client") return client.acquireTokenByClientCredential({ scopes: [scope] });
    if (order.Flow === "silent") return client.acquireTokenSilent({ account: account(order.User), scopes: [scope] });
    if (order.Flow !== "remove") throw new Error(`MSAL Node's worker does not have ${order.Flow}`);
    const accounts = await client.getTokenCache().getAllAccounts();
    if (accounts.length === 0) throw new Error("nobody is signed in");
    for (const one of accounts) await client.getTokenCache().removeAccount(one);
}

for await (const line of createInterface({ input: process.stdin })) {
    const order = JSON.parse(line);
    const answer = { Ok: 0, Errors: 0, Ms: [] };
    await sleep(Math.max(0, order.At - Date.now()));
    for (let write = 0; write < order.Writes; write++) {
        const began = performance.now();
        try {
            await get(order, order.Same ? "api0/.default" : `w${options.id}r${order.Round}x${write}/.default`);
            answer.Ok += 1;
            answer.Ms.push(performance.now() - began);
        } catch (error) {
            answer.Errors += 1;
            console.error(error.message);
        }
    }
    console.log(JSON.stringify(answer));
}
redis.destroy();
