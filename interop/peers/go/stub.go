package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// stub is the HTTP client that the library gets: it answers discovery and requests for a token, and touches no network.
type stub struct {
	discovery discovery
	// response is the answer to requests for a token; nil refuses them.
	response map[string]any
	// requests are the forms of the requests for a token, refused ones too.
	requests []url.Values
}

// Do answers one request of the library.
func (s *stub) Do(request *http.Request) (*http.Response, error) {
	if request.Method == http.MethodPost {
		return s.token(request)
	}
	path := request.URL.Path
	switch {
	case strings.Contains(path, "/discovery/instance"):
		return answer(request, http.StatusOK, s.discovery.Instance)
	case strings.Contains(strings.ToLower(path), "/common/userrealm/"):
		return answer(request, http.StatusOK, s.userRealm())
	case strings.HasSuffix(path, "/.well-known/openid-configuration"):
		return answer(request, http.StatusOK, s.openIDConfiguration(request.URL))
	}
	return nil, fmt.Errorf("the stub has no answer to %s %s", request.Method, request.URL)
}

// CloseIdleConnections is part of the library's interface; the stub has no connections.
func (s *stub) CloseIdleConnections() {}

// refreshTokenSent returns the refresh token of the last request that carried one, or nil.
func (s *stub) refreshTokenSent() *string {
	for i := len(s.requests) - 1; i >= 0; i-- {
		if s.requests[i].Has("refresh_token") {
			sent := s.requests[i].Get("refresh_token")
			return &sent
		}
	}
	return nil
}

func (s *stub) token(request *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, err
	}
	s.requests = append(s.requests, form)
	if s.response == nil {
		return answer(request, http.StatusBadRequest, map[string]any{
			"error": "invalid_grant", "error_description": "the stub refuses requests for a token",
		})
	}
	return answer(request, http.StatusOK, encodeTokens(s.response))
}

func (s *stub) openIDConfiguration(u *url.URL) map[string]string {
	before, _, _ := strings.Cut(u.Path, "/.well-known/")
	authority := "https://" + u.Host + strings.TrimSuffix(before, "/v2.0")
	filled := map[string]string{}
	for name, value := range s.discovery.OpenIDConfiguration {
		filled[name] = strings.ReplaceAll(value, "{authority}", authority)
	}
	return filled
}

// userRealm adds the fields without which MSAL Go refuses the answer (UserRealm.validate).
func (s *stub) userRealm() map[string]any {
	realm := map[string]any{
		"domain_name":         "contoso.example",
		"cloud_instance_name": "microsoftonline.com",
		"cloud_audience_urn":  "urn:federation:MicrosoftOnline",
	}
	maps.Copy(realm, s.discovery.UserRealm)
	return realm
}

// encodeTokens returns the response with id_token and client_info as they travel.
func encodeTokens(response map[string]any) map[string]any {
	encoded := maps.Clone(response)
	if claims, ok := response["id_token"].(map[string]any); ok {
		claims = maps.Clone(claims)
		now := time.Now().Unix()
		claims["iat"], claims["exp"] = now, now+3600
		encoded["id_token"] = base64JSON(map[string]string{"alg": "none", "typ": "JWT"}) + "." + base64JSON(claims) + ".c2ln"
	}
	if info, ok := response["client_info"]; ok {
		encoded["client_info"] = base64JSON(info)
	}
	return encoded
}

func base64JSON(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err) // the value was parsed from JSON
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

func answer(request *http.Request, status int, body any) (*http.Response, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	return &http.Response{
		Status:     http.StatusText(status),
		StatusCode: status,
		Header:     http.Header{"Content-Type": {"application/json"}},
		Body:       io.NopCloser(strings.NewReader(string(text))),
		Request:    request,
	}, nil
}
