// Package ops is what every long-running command of loginaudit needs and no
// domain knows about: settings, logs, health, metrics, HTTP serving and an
// ordered stop. It imports no other package of the project.
package ops
