package ops

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/providers/posflag"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"
)

// EnvPrefix starts the name of every environment variable that is a setting.
const EnvPrefix = "LOGINAUDIT_"

const (
	configKey  = "config"
	fileSuffix = "-file" // a secret's key + this names a file that holds it
)

// UsageError is a mistake in how a command was called: exit status 2.
type UsageError struct{ Err error }

// Error is the mistake.
func (e *UsageError) Error() string { return e.Err.Error() }

// Unwrap gives the mistake.
func (e *UsageError) Unwrap() error { return e.Err }

// Usagef makes a UsageError.
func Usagef(format string, args ...any) error {
	return &UsageError{fmt.Errorf(format, args...)}
}

// Settings reads a T from flags, then the environment, then a file, then
// defaults: the first that gives a value decides.
//
// A T is a struct whose fields carry `koanf:"key"` and `help:"sentence"`;
// structs nest, and the key http.addr is the flag --http-addr, the variable
// LOGINAUDIT_HTTP_ADDR and addr under http in the file. An empty variable is
// as good as none. A [Secret] has no flag, because others can read the command
// line; it has a second key with -file behind it that names a file which holds
// it (a line end after it does not count). A T with a Validate method is
// validated.
type Settings[T any] struct {
	defaults T
	fields   []setting
	flags    *pflag.FlagSet
}

type setting struct {
	key, help string
	index     []int
	secret    bool
}

// NewSettings adds the flags of T, and --config, to flags.
func NewSettings[T any](flags *pflag.FlagSet, defaults T) *Settings[T] {
	s := &Settings[T]{defaults: defaults, flags: flags}
	s.fields = fieldsOf(reflect.TypeFor[T](), "", nil)
	flags.String(configKey, "", "settings `file` (YAML); flags and LOGINAUDIT_* come first")
	value := reflect.ValueOf(defaults)
	for _, f := range s.fields {
		v := value.FieldByIndex(f.index)
		switch {
		case f.secret:
			flags.String(flagName(f.key+fileSuffix), "", "`file` that holds: "+f.help+" (or "+envName(f.key)+")")
		case v.Kind() == reflect.Bool:
			flags.Bool(flagName(f.key), v.Bool(), f.help)
		case v.Kind() == reflect.Slice:
			flags.StringSlice(flagName(f.key), v.Interface().([]string), f.help)
		default:
			flags.Var(&flagText{fmt.Sprint(show(v.Interface())), kindOf(v.Interface())}, flagName(f.key), f.help)
		}
	}
	return s
}

// flagText is a flag whose text is read with the other sources.
type flagText struct{ text, kind string }

// String is the text.
func (f *flagText) String() string { return f.text }

// Set takes any text.
func (f *flagText) Set(text string) error { f.text = text; return nil }

// Type is how the help calls what is to be given.
func (f *flagText) Type() string { return f.kind }

func kindOf(v any) string {
	switch v.(type) {
	case time.Duration:
		return "duration"
	case Bytes:
		return "size"
	case int, int64:
		return "int"
	case float64:
		return "float"
	default:
		return "string"
	}
}

func fieldsOf(t reflect.Type, prefix string, index []int) []setting {
	var all []setting
	for f := range t.Fields() {
		at := append(slices.Clone(index), f.Index...)
		key := f.Tag.Get("koanf")
		if f.Type.Kind() == reflect.Struct {
			if key != "" {
				key = prefix + key + "."
			} else {
				key = prefix // an embedded struct shares the level
			}
			all = append(all, fieldsOf(f.Type, key, at)...)
			continue
		}
		all = append(all, setting{
			key: prefix + key, help: f.Tag.Get("help"), index: at,
			secret: f.Type == reflect.TypeFor[Secret](),
		})
	}
	return all
}

func flagName(key string) string { return strings.ReplaceAll(key, ".", "-") }

func envName(key string) string {
	return EnvPrefix + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(key))
}

// layer is one source of settings, by key.
type layer struct {
	values map[string]any
	name   func(key string) string
}

// Load reads the settings; environ has the form of os.Environ. Every error is
// a [UsageError] that names the setting, where it came from and what is
// allowed.
func (s *Settings[T]) Load(environ []string) (T, error) {
	out := s.defaults
	flags, err := s.flagLayer()
	if err != nil {
		return out, err
	}
	envs, err := s.envLayer(environ)
	if err != nil {
		return out, err
	}
	layers := []layer{envs, flags}
	if path := firstText(flags.values[configKey], envs.values[configKey]); path != "" {
		f, err := s.fileLayer(path)
		if err != nil {
			return out, err
		}
		layers = []layer{f, envs, flags}
	}
	if err := s.apply(&out, layers); err != nil {
		return out, err
	}
	if v, ok := any(out).(interface{ Validate() error }); ok {
		if err := v.Validate(); err != nil {
			return out, &UsageError{err}
		}
	}
	return out, nil
}

func firstText(values ...any) string {
	for _, v := range values {
		if text, ok := v.(string); ok && text != "" {
			return text
		}
	}
	return ""
}

// keys maps what an outside name stands for to a key.
func (s *Settings[T]) keys(outside func(key string) string) map[string]string {
	names := map[string]string{outside(configKey): configKey}
	for _, f := range s.fields {
		names[outside(f.key)] = f.key
		if f.secret {
			names[outside(f.key+fileSuffix)] = f.key + fileSuffix
		}
	}
	return names
}

func (s *Settings[T]) flagLayer() (layer, error) {
	names, k := s.keys(flagName), koanf.New(".")
	set := pflag.NewFlagSet("", pflag.ContinueOnError) // only what was given
	s.flags.Visit(func(f *pflag.Flag) {
		if _, ours := names[f.Name]; ours {
			set.AddFlag(f)
		}
	})
	provider := posflag.ProviderWithFlag(set, ".", k, func(f *pflag.Flag) (string, any) {
		if list, ok := f.Value.(pflag.SliceValue); ok {
			return names[f.Name], list.GetSlice()
		}
		return names[f.Name], f.Value.String()
	})
	if err := k.Load(provider, nil); err != nil {
		return layer{}, fmt.Errorf("read flags: %w", err)
	}
	return layer{s.flat(k), func(key string) string { return "flag --" + flagName(key) }}, nil
}

func (s *Settings[T]) envLayer(environ []string) (layer, error) {
	names, k := s.keys(envName), koanf.New(".")
	provider := env.Provider(".", env.Opt{
		Prefix:      EnvPrefix,
		EnvironFunc: func() []string { return environ },
		TransformFunc: func(name, value string) (string, any) {
			if value == "" {
				return "", nil
			}
			return names[name], value
		},
	})
	if err := k.Load(provider, nil); err != nil {
		return layer{}, fmt.Errorf("read environment: %w", err)
	}
	return layer{s.flat(k), func(key string) string { return "environment " + envName(key) }}, nil
}

func (s *Settings[T]) fileLayer(path string) (layer, error) {
	k := koanf.New(".")
	if err := k.Load(file.Provider(path), yaml.Parser()); err != nil {
		return layer{}, Usagef("read settings file %s: %w", path, err)
	}
	known := s.keys(func(key string) string { return key })
	delete(known, configKey)
	var unknown []string
	for _, key := range k.Keys() {
		if _, ok := known[key]; !ok {
			unknown = append(unknown, key)
		}
	}
	if len(unknown) > 0 {
		return layer{}, Usagef("settings file %s: unknown settings: %s (known: %s)",
			path, strings.Join(unknown, ", "), strings.Join(slices.Sorted(maps.Keys(known)), ", "))
	}
	return layer{s.flat(k), func(key string) string { return "file " + path + ": " + key }}, nil
}

// flat is what k has of the known keys. A key that is the beginning of another
// is no setting, so nothing is hidden.
func (s *Settings[T]) flat(k *koanf.Koanf) map[string]any {
	values := map[string]any{}
	for key := range s.keys(func(key string) string { return key }) {
		if k.Exists(key) && k.Get(key) != nil {
			values[key] = k.Get(key)
		}
	}
	return values
}

// apply puts the layers into out, the strongest last.
func (s *Settings[T]) apply(out *T, layers []layer) error {
	var errs []error
	value := reflect.ValueOf(out).Elem()
	for _, l := range layers {
		for _, f := range s.fields {
			v, given := l.values[f.key]
			name := l.name(f.key)
			if path, ok := l.values[f.key+fileSuffix]; f.secret && ok {
				if given {
					errs = append(errs, fmt.Errorf("%s and %s exclude each other", name, l.name(f.key+fileSuffix)))
					continue
				}
				name, given = l.name(f.key+fileSuffix), true
				text, err := os.ReadFile(fmt.Sprint(path))
				if err != nil {
					errs = append(errs, fmt.Errorf("%s: %w", name, err))
					continue
				}
				v = strings.TrimRight(string(text), "\r\n")
			}
			if !given {
				continue
			}
			if err := set(value.FieldByIndex(f.index), v); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", name, err))
			}
		}
	}
	if len(errs) > 0 {
		return &UsageError{errors.Join(errs...)}
	}
	return nil
}

// YAML is the settings as a file would give them, secrets hidden.
func (s *Settings[T]) YAML(settings T) (string, error) {
	k := koanf.New(".")
	for key, v := range s.Shown(settings) {
		if err := k.Set(key, v); err != nil {
			return "", fmt.Errorf("print setting %s: %w", key, err)
		}
	}
	text, err := k.Marshal(yaml.Parser())
	if err != nil {
		return "", fmt.Errorf("print settings: %w", err)
	}
	return string(text), nil
}

// Shown is every setting by its key, secrets hidden: for a log line.
func (s *Settings[T]) Shown(settings T) map[string]any {
	all, value := make(map[string]any, len(s.fields)), reflect.ValueOf(settings)
	for _, f := range s.fields {
		all[f.key] = show(value.FieldByIndex(f.index).Interface())
	}
	return all
}
