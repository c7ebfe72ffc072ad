// The identity provider that every peer stubs alike: what `flows.json` says, as a network module for MSAL Node.
import { readFileSync } from "node:fs";

export const definitions = JSON.parse(readFileSync(process.env.INTEROP_FLOWS, "utf8"));

/** Of the user of this flow; undefined for an application's own tokens. */
export function homeAccountId({ response }) {
    const info = response.client_info;
    return info ? `${info.uid}.${info.utid}` : response.id_token?.sub;
}

/** Answers discovery always, and requests for a token if there is an answer for them. Keeps what was sent. */
export class IdentityProvider {
    answer = null;
    sent = [];

    async sendGetRequestAsync(url) {
        const { instance, user_realm, openid_configuration } = definitions.discovery;
        if (url.includes("/discovery/instance")) return reply(instance);
        if (url.includes("/common/userrealm/")) return reply(user_realm);
        const [authority, found] = url.split("/.well-known/openid-configuration");
        if (found === undefined) throw new Error(`refused: ${url}`);
        const filled = Object.entries(openid_configuration).map(([name, value]) => [
            name,
            value.replace("{authority}", authority.replace(/\/v2\.0$/, "")),
        ]);
        return reply(Object.fromEntries(filled));
    }

    async sendPostRequestAsync(url, options) {
        this.sent.push(new URLSearchParams(options?.body));
        if (this.answer === null) throw new Error(`refused: ${url}`);
        const response = { ...this.answer };
        if (response.id_token) {
            const now = Math.floor(Date.now() / 1000);
            const claims = { ...response.id_token, iat: now, exp: now + 3600 };
            response.id_token = `${encoded({ alg: "none", typ: "JWT" })}.${encoded(claims)}.c2ln`;
        }
        if (response.client_info) response.client_info = encoded(response.client_info);
        return reply(response);
    }
}

function reply(body) {
    return { status: 200, headers: {}, body };
}

function encoded(value) {
    return Buffer.from(JSON.stringify(value)).toString("base64url");
}
