//go:build !race

package faults

// raceFactor is how much more memory a program takes with the race detector.
const raceFactor = 1
