package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// cast is flows.json: what the stub answers and whom it answers for.
type cast struct {
	ClientSecret string          `json:"client_secret"`
	RedirectURI  string          `json:"redirect_uri"`
	Discovery    discovery       `json:"discovery"`
	Flows        map[string]flow `json:"flows"`
	Write        writeAccount    `json:"write"`
}

// discovery is what the stub answers to GET requests.
type discovery struct {
	Instance            map[string]any    `json:"instance"`
	OpenIDConfiguration map[string]string `json:"openid_configuration"`
	UserRealm           map[string]any    `json:"user_realm"`
}

// flow is one way to get a token, with the answer of the token endpoint.
type flow struct {
	After         string            `json:"after"`
	Grant         string            `json:"grant"`
	ClientID      string            `json:"client_id"`
	Authority     string            `json:"authority"`
	AuthorityType string            `json:"authority_type"`
	Scopes        []string          `json:"scopes"`
	Assertion     string            `json:"assertion"`
	Components    map[string]string `json:"components"`
	KeyID         string            `json:"key_id"`
	JWK           map[string]string `json:"jwk"`
	Response      map[string]any    `json:"response"`
}

// writeAccount is the client and the account of the write command.
type writeAccount struct {
	ClientID      string `json:"client_id"`
	Authority     string `json:"authority"`
	Environment   string `json:"environment"`
	Realm         string `json:"realm"`
	UID           string `json:"uid"`
	HomeAccountID string `json:"home_account_id"`
	Username      string `json:"username"`
}

// loadCast reads the file that INTEROP_FLOWS names, else flows.json in the folder above the program's.
func loadCast() (cast, error) {
	var c cast
	path := os.Getenv("INTEROP_FLOWS")
	if path == "" {
		program, err := os.Executable()
		if err != nil {
			return c, err
		}
		path = filepath.Join(filepath.Dir(program), "..", "flows.json")
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return c, fmt.Errorf("cannot read the flows, set INTEROP_FLOWS: %w", err)
	}
	if err = json.Unmarshal(text, &c); err != nil {
		return c, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

func (c cast) flow(name string) (flow, error) {
	f, known := c.Flows[name]
	if !known {
		return f, fmt.Errorf("no flow %q in flows.json", name)
	}
	return f, nil
}

// inOrder returns the flow, behind the flow that it comes after.
func (c cast) inOrder(name string) ([]flow, error) {
	f, err := c.flow(name)
	if err != nil || f.After == "" {
		return []flow{f}, err
	}
	before, err := c.flow(f.After)
	return []flow{before, f}, err
}

// homeAccountID returns the id that an account of this flow has in a cache, or "" when the flow has no user.
func (f flow) homeAccountID() string {
	if info, ok := f.Response["client_info"].(map[string]any); ok {
		return fmt.Sprintf("%v.%v", info["uid"], info["utid"])
	}
	if claims, ok := f.Response["id_token"].(map[string]any); ok {
		return fmt.Sprint(claims["sub"])
	}
	return ""
}

// username returns the name that the user of this flow signs in with.
func (f flow) username() string {
	claims, _ := f.Response["id_token"].(map[string]any)
	name, _ := claims["preferred_username"].(string)
	return name
}
