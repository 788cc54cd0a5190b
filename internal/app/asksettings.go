package app

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/loginaudit/loginaudit/client"
	"github.com/loginaudit/loginaudit/internal/access"
	"github.com/loginaudit/loginaudit/internal/ops"
)

// AskSettings are those of every command that asks the API.
type AskSettings struct {
	DataDir string     `koanf:"data-dir" help:"data directory of a running serve, where the API and its token are looked up"`
	Server  string     `koanf:"server" help:"where the API is, http://… or https://… (default: the serve of the data directory)"`
	Token   ops.Secret `koanf:"token" help:"the API token (default, for the serve of the data directory: its admin.token)"`
	TLSSettings
	TZ     string `koanf:"tz" help:"time zone of dates in filters and of times in tables, such as Europe/Berlin (default: this machine's)"`
	Output string `koanf:"output" help:"form of the answer: table for people; json, ndjson or csv"`
	Wide   bool   `koanf:"wide" help:"shorten no cell of a table"`
}

// DefaultAsk asks the serve of the default data directory.
func DefaultAsk() AskSettings {
	return AskSettings{DataDir: DefaultDataDir, Output: outputTable}
}

// The forms of answers.
const (
	outputTable  = "table"
	outputJSON   = "json"
	outputNDJSON = "ndjson"
	outputCSV    = "csv"
)

func outputs() []string { return []string{outputTable, outputJSON, outputNDJSON, outputCSV} }

// Validate names what is not allowed.
func (s AskSettings) Validate() error {
	err := required("data-dir", s.DataDir)
	if !slices.Contains(outputs(), s.Output) {
		err = errors.Join(err, fmt.Errorf("output: %q is not allowed; one of %s", s.Output, strings.Join(outputs(), ", ")))
	}
	_, zone := s.zone()
	return errors.Join(err, zone, s.validateTLS())
}

func (s AskSettings) validateTLS() error {
	if (s.Cert == "") != (s.Key == "") {
		return errors.New("tls-cert and tls-key are given together or not at all")
	}
	return nil
}

// client is who asks the API.
func (s AskSettings) client() (*client.Client, error) {
	addresses, err := ReadAddresses(s.DataDir)
	base := s.Server
	if base == "" {
		if err != nil {
			return nil, fmt.Errorf("%w, or say with --server where the API is", err)
		}
		base = addresses.HTTPURL()
	}
	token := s.Token.Reveal()
	if token == "" {
		// The key to everything goes to the server that it belongs to, and to no other.
		if err != nil || strings.TrimRight(base, "/") != addresses.HTTPURL() {
			return nil, errors.New("there is no token: give --token-file FILE or LOGINAUDIT_TOKEN")
		}
		admin, err := access.ReadAdminToken(filepath.Join(s.DataDir, tokenFile))
		if err != nil {
			return nil, fmt.Errorf("%w (give --token-file or LOGINAUDIT_TOKEN)", err)
		}
		token = admin.Secret()
	}
	options := []client.Option{client.WithToken(token), client.WithUserAgent("loginaudit/" + Version().Version)}
	config, err := s.clientTLS()
	if err != nil {
		return nil, err
	}
	if config != nil {
		options = append(options, client.WithTLS(config))
	}
	c, err := client.New(base, options...)
	if err != nil {
		return nil, ops.Usagef("server: %w", err)
	}
	return c, nil
}

// zone is in which dates are meant and times are shown: both in one, so that
// whoever reads a time in a table may write it into a filter.
func (s AskSettings) zone() (*time.Location, error) {
	if s.TZ == "" {
		return localZone(), nil
	}
	zone, err := namedZone(s.TZ)
	if err != nil {
		return nil, fmt.Errorf("tz: %q is no time zone of the IANA database, such as UTC or Europe/Berlin", s.TZ)
	}
	return zone, nil
}

// zoneFor is the name of the zone for the API, where one of the moments needs it.
func (s AskSettings) zoneFor(moments ...string) string {
	zone, err := s.zone()
	if err != nil || strings.Join(moments, "") == "" {
		return ""
	}
	return zone.String()
}

func namedZone(name string) (*time.Location, error) {
	if strings.EqualFold(name, "local") {
		return nil, errors.New("the API does not know which zone that is")
	}
	return time.LoadLocation(name)
}

// localZone is this machine's zone by its name, which the API must know too; UTC
// where the name cannot be told.
func localZone() *time.Location {
	name, given := os.LookupEnv("TZ")
	if !given {
		name, _ = os.Readlink("/etc/localtime") // where it is no link, UTC
	}
	name = strings.TrimPrefix(name, ":")
	if _, behind, ok := strings.Cut(name, "zoneinfo/"); ok {
		name = behind
	}
	zone, err := namedZone(name)
	if err != nil {
		return time.UTC
	}
	return zone
}
