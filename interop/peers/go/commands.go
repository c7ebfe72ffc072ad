package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/AzureAD/microsoft-authentication-extensions-for-go/cache/accessor"
)

func versions(context.Context, arguments) error {
	emit(map[string]any{"peer": "go", "versions": moduleVersions()})
	return nil
}

// moduleVersions returns the versions that the program was built with.
func moduleVersions() map[string]string {
	found := map[string]string{}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return found
	}
	found["go"] = info.GoVersion
	for _, module := range info.Deps {
		if name, ok := strings.CutPrefix(module.Path, "github.com/AzureAD/"); ok {
			found[name] = module.Version
		}
	}
	return found
}

func signIn(ctx context.Context, a arguments) error {
	c, err := loadCast()
	if err != nil {
		return err
	}
	shared, err := openCache(a.cache)
	if err != nil {
		return err
	}
	http := &stub{discovery: c.Discovery}
	flows, err := c.inOrder(a.flow)
	if err != nil {
		return err
	}
	var token string
	for _, f := range flows {
		http.response = f.Response
		app, err := newApplication(c, f, shared, http)
		if err != nil {
			return err
		}
		if token, err = app.acquire(ctx); err != nil {
			return err
		}
	}
	stored, err := readDocument(ctx, a.cache)
	if err != nil {
		return err
	}
	f := flows[len(flows)-1]
	line := storedSignIn(stored, f, token)
	if line == nil {
		if f.Grant == "on_behalf_of" {
			return unsupported("MSAL Go gets the token on behalf of the user and stores it nowhere: " +
				"it exports its other cache manager")
		}
		return errors.New("the library got a token and did not store it")
	}
	emit(line)
	return nil
}

// storedSignIn describes a sign-in as the document has it, or returns nil if its access token is not stored.
func storedSignIn(stored document, f flow, token string) map[string]any {
	at := stored.find("AccessToken", map[string]any{"secret": token})
	if at == nil {
		return nil
	}
	line := map[string]any{
		"access_token":    at["secret"],
		"home_account_id": at["home_account_id"],
		"environment":     at["environment"],
		"realm":           at["realm"],
		"client_id":       at["client_id"],
		"scopes":          strings.Fields(fmt.Sprint(at["target"])),
	}
	if rt := stored.find("RefreshToken", map[string]any{"secret": f.Response["refresh_token"]}); rt != nil {
		line["refresh_token"] = rt["secret"]
	}
	owner := map[string]any{"home_account_id": at["home_account_id"], "realm": at["realm"]}
	if account := stored.find("Account", owner); account != nil {
		line["username"] = account["username"]
	}
	client := map[string]any{"client_id": at["client_id"], "environment": at["environment"]}
	if metadata := stored.find("AppMetadata", client); metadata != nil && metadata["family_id"] != nil {
		line["family_id"] = metadata["family_id"]
	}
	for name, field := range map[string]string{"assertion_hash": "user_assertion_hash", "key_id": "keyid"} {
		if at[field] != nil {
			line[name] = at[field]
		}
	}
	if at["ext_cache_key"] != nil {
		line["components"] = f.Components
	}
	return line
}

func silent(ctx context.Context, a arguments) error {
	app, http, err := openFlow(a)
	if err != nil {
		return err
	}
	line := map[string]any{"access_token": nil, "error": nil}
	if token, err := app.silent(ctx, false); err != nil {
		line["error"] = err.Error()
	} else {
		line["access_token"] = token
	}
	line["http"] = len(http.requests)
	found, err := app.accounts(ctx)
	if err != nil && line["error"] == nil {
		line["error"] = err.Error()
	}
	accounts := []map[string]string{}
	for _, account := range found {
		accounts = append(accounts, map[string]string{
			"home_account_id": account.HomeAccountID, "username": account.PreferredUsername,
		})
	}
	line["accounts"] = accounts
	emit(line)
	return nil
}

func refresh(ctx context.Context, a arguments) error {
	c, err := loadCast()
	if err != nil {
		return err
	}
	app, http, err := openFlow(a)
	if err != nil {
		return err
	}
	http.response = c.Flows[a.flow].Response
	_, err = app.silent(ctx, true)
	line := map[string]any{"refresh_token_sent": http.refreshTokenSent()}
	if err != nil {
		if http.refreshTokenSent() != nil {
			return err
		}
		// Nothing to spend is an answer, not a failure.
		line["error"] = err.Error()
	}
	emit(line)
	return nil
}

// openFlow returns a client for the flow, with a stub that refuses every request for a token.
func openFlow(a arguments) (application, *stub, error) {
	c, err := loadCast()
	if err != nil {
		return nil, nil, err
	}
	f, err := c.flow(a.flow)
	if err != nil {
		return nil, nil, err
	}
	shared, err := openCache(a.cache)
	if err != nil {
		return nil, nil, err
	}
	http := &stub{discovery: c.Discovery}
	app, err := newApplication(c, f, shared, http)
	return app, http, err
}

func remove(ctx context.Context, a arguments) error {
	c, err := loadCast()
	if err != nil {
		return err
	}
	shared, err := openCache(a.cache)
	if err != nil {
		return err
	}
	removed := []string{}
	for _, f := range []flow{c.Write.flow()} {
		client, err := newPublicClient(f, shared, &stub{discovery: c.Discovery})
		if err != nil {
			return err
		}
		accounts, err := client.Accounts(ctx)
		if err != nil {
			return err
		}
		for _, account := range accounts {
			if err = client.RemoveAccount(ctx, account); err != nil {
				return err
			}
			if !slices.Contains(removed, account.HomeAccountID) {
				removed = append(removed, account.HomeAccountID)
			}
		}
	}
	emit(map[string]any{"removed": removed})
	return nil
}

// errReleased ends the write under which the lock is held, so that the extension leaves the file as it is.
var errReleased = errors.New("released")

func hold(ctx context.Context, a arguments) error {
	err := underLock(ctx, a.cache, func(context.Context, accessor.Accessor) error {
		emit(map[string]any{"event": "held", "pid": os.Getpid()})
		time.Sleep(milliseconds(a.holdMs))
		return errReleased
	})
	if !errors.Is(err, errReleased) {
		return err
	}
	emit(map[string]any{"event": "released"})
	return nil
}
