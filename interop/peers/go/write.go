package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/AzureAD/microsoft-authentication-extensions-for-go/cache/accessor"
	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/public"
)

func write(ctx context.Context, a arguments) error {
	c, err := loadCast()
	if err != nil {
		return err
	}
	update, err := newUpdate(c, a)
	if err != nil {
		return err
	}
	started := time.UnixMilli(int64(a.startAt * 1000))
	time.Sleep(time.Until(started))
	acked, failures := []int{}, map[string]int{}
	for i := range a.count {
		if err := update(ctx, i); err != nil {
			failures[errorKind(err)]++
		} else {
			acked = append(acked, i)
			if a.progress == "yes" {
				emit(map[string]int{"ack": i})
			}
		}
		time.Sleep(milliseconds(2 * a.pauseMs * rand.Float64()))
	}
	emit(map[string]any{
		"peer": "go", "tag": a.tag, "mode": a.mode, "asked": a.count, "acked": acked, "acked_count": len(acked),
		"errors": failures, "versions": moduleVersions(),
	})
	return nil
}

// newUpdate returns the function that makes update i.
func newUpdate(c cast, a arguments) (func(context.Context, int) error, error) {
	if a.mode == "raw" {
		return func(ctx context.Context, i int) error {
			return underLock(ctx, a.cache, func(ctx context.Context, storage accessor.Accessor) error {
				return addEntry(ctx, storage, c.Write, a.tag, i)
			})
		}, nil
	}
	shared, err := openCache(a.cache)
	if err != nil {
		return nil, err
	}
	http := &stub{discovery: c.Discovery}
	client, err := newPublicClient(c.Write.flow(), shared, http)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, i int) error {
		return signInUpdate(ctx, client, http, c, a.tag, i)
	}, nil
}

// signInUpdate looks the accounts up and signs in, as an application does.
func signInUpdate(ctx context.Context, client public.Client, http *stub, c cast, tag string, i int) error {
	if _, err := client.Accounts(ctx); err != nil {
		return err
	}
	http.response = c.Write.response(tag, i)
	_, err := client.AcquireTokenByAuthCode(ctx, "code", c.RedirectURI, []string{target(tag, i)})
	return err
}

// addEntry reads the file, adds the access token of update i and writes the file, all through the library's accessor.
func addEntry(ctx context.Context, storage accessor.Accessor, w writeAccount, tag string, i int) error {
	text, err := storage.Read(ctx)
	if err != nil {
		return err
	}
	stored := map[string]any{}
	if len(text) > 0 {
		if err = json.Unmarshal(text, &stored); err != nil {
			return err
		}
	}
	tokens, ok := stored["AccessToken"].(map[string]any)
	if !ok {
		tokens = map[string]any{}
		stored["AccessToken"] = tokens
	}
	key := []string{w.HomeAccountID, w.Environment, "accesstoken", w.ClientID, w.Realm, target(tag, i)}
	tokens[strings.ToLower(strings.Join(key, "-"))] = w.entry(tag, i)
	if text, err = json.Marshal(stored); err != nil {
		return err
	}
	return storage.Write(ctx, text)
}

// flow returns the write block as a flow of its account.
func (w writeAccount) flow() flow {
	return flow{Grant: "code", ClientID: w.ClientID, Authority: w.Authority, AuthorityType: "aad"}
}

// response is what the token endpoint answers to update i.
func (w writeAccount) response(tag string, i int) map[string]any {
	return map[string]any{
		"token_type": "Bearer", "scope": target(tag, i), "expires_in": 3600, "ext_expires_in": 7200,
		"access_token": secret(tag, i),
		"id_token": map[string]any{
			"aud": w.ClientID, "iss": w.Authority + "/v2.0", "sub": "sub-" + w.UID, "oid": w.UID, "tid": w.Realm,
			"name": w.Username, "preferred_username": w.Username,
		},
		"client_info": map[string]any{"uid": w.UID, "utid": w.Realm},
	}
}

// entry is the access token of update i as a cache stores it.
func (w writeAccount) entry(tag string, i int) map[string]any {
	now := time.Now().Unix()
	return map[string]any{
		"credential_type": "AccessToken", "home_account_id": w.HomeAccountID, "environment": w.Environment,
		"client_id": w.ClientID, "realm": w.Realm, "target": target(tag, i), "token_type": "Bearer",
		"secret": secret(tag, i), "cached_at": strconv.FormatInt(now, 10),
		"expires_on": strconv.FormatInt(now+3600, 10), "extended_expires_on": strconv.FormatInt(now+7200, 10),
	}
}

func target(tag string, i int) string { return fmt.Sprintf("peer.%s.%d", tag, i) }

func secret(tag string, i int) string { return fmt.Sprintf("synthetic-%s-%d", tag, i) }

// errorKind names an error by the type of its cause; the deadline of the lock and of a read has a name of its own.
func errorKind(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "DeadlineExceeded"
	}
	for {
		cause := errors.Unwrap(err)
		if cause == nil {
			return strings.TrimPrefix(fmt.Sprintf("%T", err), "*")
		}
		err = cause
	}
}
