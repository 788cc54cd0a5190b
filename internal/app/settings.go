package app

import (
	"errors"
	"fmt"
	"time"

	"github.com/loginaudit/loginaudit/internal/ops"
)

// ServeSettings are those of "loginaudit serve".
type ServeSettings struct {
	// DataDir holds everything that lasts; it is made with mode 0700.
	DataDir string `koanf:"data-dir" help:"directory that holds everything that lasts"`
	// HTTP is the API and the page.
	HTTP HTTPSettings `koanf:"http"`
	// NATS is the embedded NATS server.
	NATS EmbeddedNATSSettings `koanf:"nats"`
	// Engine is the embedded ClickHouse.
	Engine EngineSettings `koanf:"engine"`

	AdminSettings
	AnswerSettings
	StreamSettings `koanf:"stream"`
	BatchSettings  `koanf:"ingest"`
	ProcessSettings
}

// IngestSettings are those of the command ingest.
type IngestSettings struct {
	NATS       NATSSettings       `koanf:"nats"`
	ClickHouse ClickHouseSettings `koanf:"clickhouse"`

	AdminSettings
	StreamSettings `koanf:"stream"`
	BatchSettings  `koanf:"ingest"`
	ProcessSettings
}

// QuerySettings are those of the command query.
type QuerySettings struct {
	HTTP       HTTPSettings       `koanf:"http"`
	ClickHouse ClickHouseSettings `koanf:"clickhouse"`
	// AdminToken is the API token with every right on every account.
	AdminToken ops.Secret `koanf:"admin-token" help:"the API token with every right on every account: la_admin_ and 32 to 256 of A-Za-z0-9_-"`

	AdminSettings
	AnswerSettings
	ProcessSettings
}

// MigrateSettings are those of "loginaudit migrate".
type MigrateSettings struct {
	// ClickHouse names the owner of the schema, who may create and alter tables.
	ClickHouse ClickHouseSettings `koanf:"clickhouse"`
	Refill     bool               `koanf:"refill" help:"fill every projection from the events, also where nothing is missing: after a view was made again by hand"`
	ProcessSettings
}

// HTTPSettings are where the API and the page are served.
type HTTPSettings struct {
	Addr string `koanf:"addr" help:"address of the API and the page, HOST:PORT; port 0 takes a free one"`
	// TLSCert and TLSKey, PEM files, are given together; without them plain
	// HTTP is spoken, for loopback or behind a proxy.
	TLSCert string `koanf:"tls-cert" help:"certificate file (PEM); without one plain HTTP is spoken"`
	TLSKey  string `koanf:"tls-key" help:"file of the certificate's key (PEM)"`
	// SecureCookies is for a proxy that speaks TLS to the browser.
	SecureCookies bool `koanf:"secure-cookies" help:"mark cookies Secure: a proxy in front speaks TLS"`
}

// EmbeddedNATSSettings are those of the NATS server of serve.
type EmbeddedNATSSettings struct {
	Addr string `koanf:"addr" help:"address of NATS, HOST:PORT; port 0 takes a free one; connections without a key only on loopback"`
	// TLSCert and TLSKey make the server speak TLS.
	TLSCert string `koanf:"tls-cert" help:"certificate file (PEM) for NATS; needed outside loopback"`
	TLSKey  string `koanf:"tls-key" help:"file of the certificate's key (PEM)"`
	// MaxStore is the disk that all streams together may take.
	MaxStore ops.Bytes `koanf:"max-store" help:"most disk that the streams take together; 0: half of what is free"`
}

// EngineSettings are those of the embedded ClickHouse.
type EngineSettings struct {
	Addr string `koanf:"addr" help:"loopback address of the embedded ClickHouse, HOST:PORT; port 0 takes a free one"`
	// Memory is the engine's limit.
	Memory  ops.Bytes `koanf:"memory" help:"memory limit of the embedded ClickHouse; 0 chooses by the machine's memory"`
	Library string    `koanf:"library" help:"path of libchdb.so; empty searches node_modules and /usr/lib/loginaudit"`
}

// NATSSettings say where NATS is and as whom to connect.
type NATSSettings struct {
	URL   string `koanf:"url" help:"where NATS is: nats://HOST:PORT or tls://HOST:PORT, several with commas"`
	NKey  string `koanf:"nkey" help:"file with the nkey seed to log in with"`
	Creds string `koanf:"creds" help:"NATS credentials file (.creds), instead of nkey"`
	// InboxPrefix must be one that the user may listen on. Users that share an
	// account should have one each.
	InboxPrefix string `koanf:"inbox-prefix" help:"beginning of the subjects on which answers come, as the user may subscribe"`
	TLSSettings
}

// TLSSettings are how a server's certificate is checked, and our own shown.
type TLSSettings struct {
	CA   string `koanf:"tls-ca" help:"file of the authorities (PEM) that may vouch for the server; empty: the system's"`
	Cert string `koanf:"tls-cert" help:"file of our own certificate (PEM), where the server asks for one"`
	Key  string `koanf:"tls-key" help:"file of its key (PEM)"`
}

// ClickHouseSettings say where ClickHouse is and as whom to connect. Only the
// native protocol is spoken.
type ClickHouseSettings struct {
	Addr     string     `koanf:"addr" help:"HOST:PORT of ClickHouse's native protocol"`
	Database string     `koanf:"database" help:"database that holds the tables"`
	Username string     `koanf:"username" help:"ClickHouse user"`
	Password ops.Secret `koanf:"password" help:"the ClickHouse user's password"`
	TLS      bool       `koanf:"tls" help:"speak TLS to ClickHouse"`
	TLSSettings
}

// AdminSettings are where operators reach the process.
type AdminSettings struct {
	Admin struct {
		Addr string `koanf:"addr" help:"address of /livez, /readyz, /metrics and /log/level, HOST:PORT; it has no access control"`
	} `koanf:"admin"`
}

// AnswerSettings shape answers.
type AnswerSettings struct {
	// SessionLimit is the age at which an open session counts as expired.
	SessionLimit time.Duration `koanf:"session-limit" help:"age at which a session without a log-out counts as expired"`
	Query        struct {
		Timeout time.Duration `koanf:"timeout" help:"bound of one question to the database"`
	} `koanf:"query"`
}

// StreamSettings are those of LOGIN_EVENTS and LOGIN_PARKED.
type StreamSettings struct {
	// Ensure creates or updates the streams; else they must be there.
	Ensure          bool          `koanf:"ensure" help:"create or update the streams; false: they are made by somebody else"`
	Replicas        int           `koanf:"replicas" help:"copies of each stream, 1 to 5; 3 for a cluster"`
	MaxBytes        ops.Bytes     `koanf:"max-bytes" help:"size of LOGIN_EVENTS at which new events are refused; 0: the server's limit"`
	MaxAge          time.Duration `koanf:"max-age" help:"how long LOGIN_EVENTS keeps events for replay; 0: for ever"`
	ParkedMaxBytes  ops.Bytes     `koanf:"parked-max-bytes" help:"size of LOGIN_PARKED at which parking is refused; 0: no limit"`
	ParkedMaxAge    time.Duration `koanf:"parked-max-age" help:"how long LOGIN_PARKED keeps messages; 0: for ever"`
	DuplicateWindow time.Duration `koanf:"duplicate-window" help:"how long LOGIN_EVENTS spares repeats of a message"`
	AckWait         time.Duration `koanf:"ack-wait" help:"after how long what a killed ingest had in hand is delivered to another"`
}

// ProcessSettings are those of every long-running command.
type ProcessSettings struct {
	Log         ops.LogSettings `koanf:"log"`
	StopTimeout time.Duration   `koanf:"stop-timeout" help:"bound of the ordered stop, from the signal to the end"`
}

const (
	defaultNATSAddr  = "127.0.0.1:4222"
	defaultInbox     = "_INBOX" // as nats.InboxPrefix, without the dot that nats.CustomInboxPrefix refuses
	defaultHTTPAddr  = "127.0.0.1:8080"
	defaultAdminAddr = "127.0.0.1:8081"
	database         = "loginaudit"
	// DefaultDataDir is where serve keeps everything unless told otherwise, and
	// where the other commands look for it.
	DefaultDataDir = "./data"
)

func defaultProcess() ProcessSettings {
	return ProcessSettings{Log: ops.DefaultLog(), StopTimeout: 30 * time.Second}
}

func defaultAdmin(addr string) (s AdminSettings) {
	s.Admin.Addr = addr
	return s
}

func defaultAnswer() (s AnswerSettings) {
	s.SessionLimit = 24 * time.Hour
	s.Query.Timeout = 15 * time.Second
	return s
}

func defaultClickHouse(username string) ClickHouseSettings {
	return ClickHouseSettings{Addr: "127.0.0.1:9000", Database: database, Username: username}
}

// DefaultServe is the whole system on this machine.
func DefaultServe() ServeSettings {
	return ServeSettings{
		DataDir:         DefaultDataDir,
		HTTP:            HTTPSettings{Addr: defaultHTTPAddr},
		NATS:            EmbeddedNATSSettings{Addr: defaultNATSAddr},
		Engine:          EngineSettings{Addr: "127.0.0.1:0"},
		AdminSettings:   defaultAdmin(defaultAdminAddr),
		AnswerSettings:  defaultAnswer(),
		StreamSettings:  defaultStream(),
		BatchSettings:   defaultBatch(),
		ProcessSettings: defaultProcess(),
	}
}

// DefaultIngest expects both servers on this machine.
func DefaultIngest() IngestSettings {
	return IngestSettings{
		NATS:            NATSSettings{URL: "nats://" + defaultNATSAddr, InboxPrefix: defaultInbox},
		ClickHouse:      defaultClickHouse("writer"),
		AdminSettings:   defaultAdmin("127.0.0.1:8082"),
		StreamSettings:  defaultStream(),
		BatchSettings:   defaultBatch(),
		ProcessSettings: defaultProcess(),
	}
}

// DefaultQuery expects ClickHouse on this machine.
func DefaultQuery() QuerySettings {
	return QuerySettings{
		HTTP:            HTTPSettings{Addr: defaultHTTPAddr},
		ClickHouse:      defaultClickHouse("reader"),
		AdminSettings:   defaultAdmin(defaultAdminAddr),
		AnswerSettings:  defaultAnswer(),
		ProcessSettings: defaultProcess(),
	}
}

// DefaultMigrate expects ClickHouse on this machine.
func DefaultMigrate() MigrateSettings {
	return MigrateSettings{ClickHouse: defaultClickHouse("owner"), ProcessSettings: defaultProcess()}
}

// Validate names what is out of its range.
func (s ServeSettings) Validate() error {
	return errors.Join(
		required("data-dir", s.DataDir),
		s.HTTP.validate(),
		s.NATS.validate(),
		s.Engine.validate(),
		s.AdminSettings.validate(),
		s.AnswerSettings.validate(),
		s.StreamSettings.validate(),
		s.BatchSettings.validate(),
		s.ProcessSettings.validate(),
	)
}

// Validate names what is out of its range.
func (s IngestSettings) Validate() error {
	return errors.Join(
		required("nats.url", s.NATS.URL),
		natsSchemes("nats.url", s.NATS.URL),
		s.NATS.validate(),
		s.ClickHouse.validate(),
		s.AdminSettings.validate(),
		s.StreamSettings.validate(),
		s.BatchSettings.validate(),
		s.ProcessSettings.validate(),
	)
}

// Validate names what is missing or out of its range.
func (s QuerySettings) Validate() error {
	var err error
	if s.AdminToken == "" {
		err = errors.New("admin-token: is missing; give --admin-token-file or LOGINAUDIT_ADMIN_TOKEN (one is in DIR/admin.token of a serve)")
	}
	return errors.Join(err, s.HTTP.validate(), s.ClickHouse.validate(), s.AdminSettings.validate(),
		s.AnswerSettings.validate(), s.ProcessSettings.validate())
}

// Validate names what is missing or out of its range.
func (s MigrateSettings) Validate() error {
	return errors.Join(s.ClickHouse.validate(), s.ProcessSettings.validate())
}

func (s NATSSettings) validate() error {
	if s.NKey != "" && s.Creds != "" {
		return errors.New("nkey and creds exclude each other")
	}
	return s.TLSSettings.validate("nats")
}

func (s TLSSettings) validate(section string) error {
	return bothOrNone(section, s.Cert, s.Key)
}

func (s ClickHouseSettings) validate() error {
	return errors.Join(
		required("clickhouse.addr", s.Addr),
		required("clickhouse.database", s.Database),
		required("clickhouse.username", s.Username),
		s.TLSSettings.validate("clickhouse"),
	)
}

func (s AnswerSettings) validate() error {
	return errors.Join(
		between("session-limit", s.SessionLimit, time.Minute, 366*24*time.Hour),
		between("query.timeout", s.Query.Timeout, time.Second, 10*time.Minute),
	)
}

func (s ProcessSettings) validate() error {
	return errors.Join(s.Log.Validate(), between("stop-timeout", s.StopTimeout, time.Second, time.Hour))
}

func required(key, value string) error {
	if value == "" {
		return fmt.Errorf("%s: is missing", key)
	}
	return nil
}

func between(key string, value, least, most time.Duration) error {
	if value < least || value > most {
		return fmt.Errorf("%s: %s is not allowed; %s to %s", key, value, least, most)
	}
	return nil
}
