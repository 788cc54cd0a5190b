package engine

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"path/filepath"
	"strings"
	"text/template"
)

// layout is where everything of the server is: the one folder that the child
// process can write to. Passwords and lock are beside it, out of its reach.
type layout struct{ root string }

func (l layout) config() string   { return filepath.Join(l.root, "config.xml") }
func (l layout) users() string    { return filepath.Join(l.root, "users.xml") }
func (l layout) data() string     { return filepath.Join(l.root, "data") }
func (l layout) tmp() string      { return filepath.Join(l.root, "data", "tmp") }
func (l layout) files() string    { return filepath.Join(l.root, "data", "user_files") }
func (l layout) logDir() string   { return filepath.Join(l.root, "log") }
func (l layout) log() string      { return filepath.Join(l.logDir(), "clickhouse.log") }
func (l layout) childLog() string { return filepath.Join(l.logDir(), "child.log") }

// engineSettings is what the configuration of one start of the child is made of.
type engineSettings struct {
	layout      layout
	databases   []string
	memoryLimit int64
	// gate is the address that is asked whether the user default may sign in.
	gate string
	// passwords holds the clear text; only its hash is written.
	passwords map[Role]string
}

// writeConfig writes config.xml and users.xml.
func writeConfig(s engineSettings) error {
	for _, file := range []struct {
		path string
		text *template.Template
	}{{s.layout.config(), configTemplate}, {s.layout.users(), usersTemplate}} {
		var out bytes.Buffer
		if err := file.text.Execute(&out, s.values()); err != nil {
			return fmt.Errorf("make %s: %w", filepath.Base(file.path), err)
		}
		if err := writePrivate(file.path, out.Bytes()); err != nil {
			return fmt.Errorf("write %s: %w", filepath.Base(file.path), err)
		}
	}
	return nil
}

func (s engineSettings) values() map[string]any {
	hashes := map[string]string{}
	for role, password := range s.passwords {
		sum := sha256.Sum256([]byte(password))
		hashes[string(role)] = hex.EncodeToString(sum[:])
	}
	return map[string]any{
		"Log": s.layout.log(), "ErrLog": filepath.Join(s.layout.logDir(), "clickhouse.err.log"),
		"Data": s.layout.data() + "/", "Tmp": s.layout.tmp() + "/", "Files": s.layout.files() + "/",
		"Users": s.layout.users(), "Gate": s.gate, "Memory": s.memoryLimit,
		"QueryMemory": s.memoryLimit / 2, "SpillMemory": s.memoryLimit / 4, "MarkCache": s.memoryLimit / 20,
		"Hash": hashes, "Databases": s.databases, "Tables": Tables(), "Peepholes": peepholes(),
		"OwnerEngines": []string{"MergeTree", "ReplacingMergeTree", "AggregatingMergeTree",
			"SummingMergeTree", "MaterializedView", "View", "Memory", "Null"},
	}
}

func xmlText(v any) string {
	var out strings.Builder
	_ = xml.EscapeText(&out, fmt.Append(nil, v)) // a strings.Builder never fails
	return out.String()
}

func parseTemplate(name, text string) *template.Template {
	return template.Must(template.New(name).Funcs(template.FuncMap{"x": xmlText}).Parse(text))
}

// configTemplate configures the server. No system log table is named, so there
// is none; the text log is rotated and bounded; the pools fit two cores.
var configTemplate = parseTemplate("config.xml", `<clickhouse>
  <logger>
    <level>warning</level>
    <log>{{x .Log}}</log>
    <errorlog>{{x .ErrLog}}</errorlog>
    <size>5M</size>
    <count>3</count>
    <!-- The client is told what is wrong with its query. The text of a query
         may hold names and addresses of people, which belong in no log. -->
    <levels>
      <logger><name>executeQuery</name><level>none</level></logger>
      <logger><name>TCPHandler</name><level>none</level></logger>
    </levels>
  </logger>

  <!-- Loopback, native TCP, a port that the system chooses: clients come
       through the door of the parent. No HTTP, no interserver port. -->
  <tcp_port>0</tcp_port>
  <listen_host>127.0.0.1</listen_host>
  <max_connections>256</max_connections>

  <path>{{x .Data}}</path>
  <tmp_path>{{x .Tmp}}</tmp_path>
  <user_files_path>{{x .Files}}</user_files_path>
  <timezone>UTC</timezone>

  <users_config>{{x .Users}}</users_config>
  <http_authentication_servers>
    <parent>
      <uri>{{x .Gate}}</uri>
      <connection_timeout_ms>2000</connection_timeout_ms>
      <receive_timeout_ms>2000</receive_timeout_ms>
      <send_timeout_ms>2000</send_timeout_ms>
      <max_tries>1</max_tries>
    </parent>
  </http_authentication_servers>
  <access_control_improvements>
    <select_from_system_db_requires_grant>true</select_from_system_db_requires_grant>
    <select_from_information_schema_requires_grant>true</select_from_information_schema_requires_grant>
    <table_engines_require_grant>true</table_engines_require_grant>
    <enable_read_write_grants>true</enable_read_write_grants>
    <on_cluster_queries_require_cluster_grant>true</on_cluster_queries_require_cluster_grant>
  </access_control_improvements>

  <!-- A view without a word about it runs as whoever created it. -->
  <ignore_empty_sql_security_in_create_view_query>false</ignore_empty_sql_security_in_create_view_query>

  <max_server_memory_usage>{{.Memory}}</max_server_memory_usage>
  <mark_cache_size>{{.MarkCache}}</mark_cache_size>
  <index_mark_cache_size>{{.MarkCache}}</index_mark_cache_size>
  <uncompressed_cache_size>0</uncompressed_cache_size>
  <query_condition_cache_size>16777216</query_condition_cache_size>
  <max_concurrent_queries>100</max_concurrent_queries>
  <max_thread_pool_size>1000</max_thread_pool_size>
  <max_thread_pool_free_size>16</max_thread_pool_free_size>
  <background_pool_size>2</background_pool_size>
  <background_merges_mutations_concurrency_ratio>2</background_merges_mutations_concurrency_ratio>
  <background_schedule_pool_size>8</background_schedule_pool_size>
  <background_common_pool_size>2</background_common_pool_size>
  <background_move_pool_size>1</background_move_pool_size>
  <background_fetches_pool_size>1</background_fetches_pool_size>
  <background_buffer_flush_schedule_pool_size>1</background_buffer_flush_schedule_pool_size>
  <background_distributed_schedule_pool_size>1</background_distributed_schedule_pool_size>
  <background_message_broker_schedule_pool_size>4</background_message_broker_schedule_pool_size>
  <merge_tree>
    <number_of_free_entries_in_pool_to_execute_mutation>1</number_of_free_entries_in_pool_to_execute_mutation>
    <number_of_free_entries_in_pool_to_lower_max_size_of_merge>1</number_of_free_entries_in_pool_to_lower_max_size_of_merge>
    <number_of_free_entries_in_pool_to_execute_optimize_entire_partition>1</number_of_free_entries_in_pool_to_execute_optimize_entire_partition>
  </merge_tree>
</clickhouse>
`)

// usersTemplate lists the users. The library's own client inside the child
// signs in as "default" with an empty password, always; its name is therefore
// given to an authenticator in the child which agrees once, before the server
// listens, and never again (see gate.go).
var usersTemplate = parseTemplate("users.xml", `<clickhouse>
  <profiles>
    <default>
      <max_memory_usage>{{.QueryMemory}}</max_memory_usage>
      <max_bytes_before_external_group_by>{{.SpillMemory}}</max_bytes_before_external_group_by>
      <max_bytes_before_external_sort>{{.SpillMemory}}</max_bytes_before_external_sort>
      <log_queries>0</log_queries>
    </default>
    <writer>
      <profile>default</profile>
      <allow_ddl>0</allow_ddl>
      <async_insert>0</async_insert>
    </writer>
    <reader>
      <profile>default</profile>
      <readonly>1</readonly>
      <allow_ddl>0</allow_ddl>
      <allow_introspection_functions>0</allow_introspection_functions>
      <max_threads>2</max_threads>
      <max_execution_time>60</max_execution_time>
      <timeout_before_checking_execution_speed>0</timeout_before_checking_execution_speed>
      <max_rows_to_read>2000000000</max_rows_to_read>
      <max_result_rows>2000000</max_result_rows>
      <do_not_merge_across_partitions_select_final>1</do_not_merge_across_partitions_select_final>
      <max_ast_depth>1000</max_ast_depth>
      <constraints>
        <log_comment><changeable_in_readonly/></log_comment>
        <max_execution_time><changeable_in_readonly/><min>1</min><max>3600</max></max_execution_time>
      </constraints>
    </reader>
  </profiles>
  <users>
    <default>
      <http_authentication><server>parent</server><scheme>basic</scheme></http_authentication>
      <networks><ip>127.0.0.1</ip></networks>
      <profile>default</profile>
      <grants>
        <query>GRANT SYSTEM LISTEN ON *.*</query>
        <query>GRANT READ ON FILE</query>
        <query>GRANT CREATE TEMPORARY TABLE ON *.*</query>
      </grants>
    </default>
    <owner>
      <password_sha256_hex>{{.Hash.owner}}</password_sha256_hex>
      <networks><ip>127.0.0.1</ip></networks>
      <profile>default</profile>
      <grants>
        <query>GRANT SELECT ON system.*</query>
        <query>GRANT SELECT ON information_schema.*</query>
{{- range .OwnerEngines}}
        <query>GRANT TABLE ENGINE ON {{.}}</query>
{{- end}}
{{- range .Databases}}
        <query>GRANT ALL ON {{x .}}.*</query>
{{- end}}
      </grants>
    </owner>
    <writer>
      <password_sha256_hex>{{.Hash.writer}}</password_sha256_hex>
      <networks><ip>127.0.0.1</ip></networks>
      <profile>writer</profile>
      <grants>
{{- range $db := .Databases}}
        <query>GRANT SHOW TABLES, SHOW COLUMNS ON {{x $db}}.*</query>
{{- range $.Tables}}
{{- if .Insert}}
        <query>GRANT INSERT ON {{x $db}}.{{x .Name}}</query>
{{- end}}
{{- if .WriterReads}}
        <query>GRANT SELECT ON {{x $db}}.{{x .Name}}</query>
{{- end}}
{{- end}}{{end}}
      </grants>
    </writer>
    <reader>
      <password_sha256_hex>{{.Hash.reader}}</password_sha256_hex>
      <networks><ip>127.0.0.1</ip></networks>
      <profile>reader</profile>
      <grants>
{{- range $db := .Databases}}{{range $.Tables}}
        <query>GRANT SELECT ON {{x $db}}.{{x .Name}}</query>
{{- end}}{{end}}
      </grants>
      <databases>
{{- range $db := .Databases}}
        <{{$db}}>
{{- range $.Tables}}{{if .Filter}}
          <{{.Name}}><filter>{{x .Filter}}</filter></{{.Name}}>
{{- end}}{{end}}
        </{{$db}}>
{{- end}}
        <_table_function>
{{- range .Peepholes}}
          <{{.}}><filter>0</filter></{{.}}>
{{- end}}
        </_table_function>
      </databases>
    </reader>
  </users>
  <quotas><default/></quotas>
</clickhouse>
`)
