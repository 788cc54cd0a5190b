package testsystem

import (
	"os/exec"
	"syscall"
)

// endWithParent has a process end, by kill -9, with the thread that starts it.
func endWithParent(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
}
