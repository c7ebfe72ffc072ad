package main

import (
	"context"
	"encoding/json"
	"fmt"

	msalcache "github.com/AzureAD/microsoft-authentication-library-for-go/apps/cache"
	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"
	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/public"
)

// claimsChallenge makes a silent call pass over the cached access token: MSAL Go has no forced refresh.
const claimsChallenge = `{"access_token":{"nbf":{"essential":true}}}`

// application is a client of the library for one flow.
type application interface {
	// acquire gets a token as the flow's grant says.
	acquire(ctx context.Context) (string, error)
	// silent asks for the flow's token, from the cache if renew is false, and past the cached one if it is true.
	silent(ctx context.Context, renew bool) (string, error)
	// accounts lists the accounts, one entry a tenant.
	accounts(ctx context.Context) ([]public.Account, error)
}

func newApplication(c cast, f flow, cache msalcache.ExportReplace, http *stub) (application, error) {
	if f.Grant == "code" {
		client, err := newPublicClient(f, cache, http)
		return &publicApplication{c, f, client}, err
	}
	if f.Grant != "client_credentials" && f.Grant != "on_behalf_of" {
		return nil, fmt.Errorf("unknown grant %q", f.Grant)
	}
	credential, err := confidential.NewCredFromSecret(c.ClientSecret)
	if err != nil {
		return nil, err
	}
	client, err := confidential.New(f.Authority, f.ClientID, credential,
		confidential.WithCache(cache), confidential.WithHTTPClient(http))
	return &confidentialApplication{f, client}, err
}

func newPublicClient(f flow, cache msalcache.ExportReplace, http *stub) (public.Client, error) {
	return public.New(f.ClientID,
		public.WithAuthority(f.Authority), public.WithCache(cache), public.WithHTTPClient(http),
		// The library asks Entra about every host, and Entra knows no host of B2C or AD FS.
		public.WithInstanceDiscovery(f.AuthorityType == "aad"))
}

type publicApplication struct {
	cast   cast
	flow   flow
	client public.Client
}

func (p *publicApplication) acquire(ctx context.Context) (string, error) {
	if p.flow.KeyID == "" {
		result, err := p.client.AcquireTokenByAuthCode(ctx, "code", p.cast.RedirectURI, p.flow.Scopes)
		return result.AccessToken, err
	}
	// The library takes a scheme with a password, not with a code.
	result, err := p.client.AcquireTokenByUsernamePassword(ctx, p.flow.Scopes, p.flow.username(), "not-a-real-password",
		public.WithAuthenticationScheme(boundToken{p.flow}))
	return result.AccessToken, err
}

func (p *publicApplication) silent(ctx context.Context, renew bool) (string, error) {
	accounts, err := p.client.Accounts(ctx)
	if err != nil {
		return "", err
	}
	for _, account := range accounts {
		if account.HomeAccountID != p.flow.homeAccountID() {
			continue
		}
		options := []public.AcquireSilentOption{public.WithSilentAccount(account)}
		if p.flow.KeyID != "" {
			options = append(options, public.WithAuthenticationScheme(boundToken{p.flow}))
		}
		if renew {
			options = append(options, public.WithClaims(claimsChallenge))
		}
		result, err := p.client.AcquireTokenSilent(ctx, p.flow.Scopes, options...)
		return result.AccessToken, err
	}
	return "", fmt.Errorf("no account %s", p.flow.homeAccountID())
}

func (p *publicApplication) accounts(ctx context.Context) ([]public.Account, error) {
	return p.client.Accounts(ctx)
}

type confidentialApplication struct {
	flow   flow
	client confidential.Client
}

func (c *confidentialApplication) acquire(ctx context.Context) (string, error) {
	return c.silent(ctx, false)
}

// silent is the same call as acquire: the library looks into the cache first.
func (c *confidentialApplication) silent(ctx context.Context, renew bool) (string, error) {
	if c.flow.Grant == "on_behalf_of" {
		var options []confidential.AcquireOnBehalfOfOption
		if renew {
			options = append(options, confidential.WithClaims(claimsChallenge))
		}
		result, err := c.client.AcquireTokenOnBehalfOf(ctx, c.flow.Assertion, c.flow.Scopes, options...)
		return result.AccessToken, err
	}
	var options []confidential.AcquireByCredentialOption
	if path := c.flow.Components["fmi_path"]; path != "" {
		options = append(options, confidential.WithFMIPath(path))
	}
	if renew {
		options = append(options, confidential.WithClaims(claimsChallenge))
	}
	result, err := c.client.AcquireTokenByCredential(ctx, c.flow.Scopes, options...)
	return result.AccessToken, err
}

// accounts is empty: a confidential client of MSAL Go finds an account by its id, and lists none.
func (c *confidentialApplication) accounts(context.Context) ([]public.Account, error) {
	return nil, nil
}

// boundToken asks for tokens bound to the flow's key, and hands them out as they are stored.
type boundToken struct{ flow flow }

func (b boundToken) TokenRequestParams() map[string]string {
	params := map[string]string{"token_type": b.AccessTokenType()}
	if b.flow.JWK == nil {
		params["req_cnf"] = base64JSON(map[string]string{"kid": b.flow.KeyID})
		return params
	}
	key, err := json.Marshal(b.flow.JWK)
	if err != nil {
		panic(err) // the key was parsed from JSON
	}
	params["req_cnf"], params["key_id"] = string(key), b.flow.KeyID
	return params
}

func (b boundToken) KeyID() string { return b.flow.KeyID }

func (b boundToken) AccessTokenType() string { return fmt.Sprint(b.flow.Response["token_type"]) }

func (b boundToken) FormatAccessToken(accessToken string) (string, error) { return accessToken, nil }
