package emit

import (
	"fmt"
	"time"

	"github.com/loginaudit/loginaudit/event"
)

// jobs are the machines of a company: the same every night.
func (s *scene) jobs() {
	svc := s.account.people[min(machine, len(s.account.people)-1)]
	bot := *svc
	bot.factor, bot.clumsy, bot.disabled = "", 0, false
	for _, job := range []struct {
		entry   event.Entry
		at      time.Duration
		service string
		agent   string
	}{
		{4, 1 * time.Hour, "billing-gw", "RecurringBilling/3.2 (Java 21)"},
		{2, 2 * time.Hour, "reports", "curl/8.15.0"},
		{3, 3 * time.Hour, "batch-upload", "BatchUploader/1.9 (.NET 9.0)"},
		{5, 4 * time.Hour, "inventory", "python-requests/2.32.4"},
		{6, 11 * time.Hour, "https-api", "Go-http-client/2.0"},
	} {
		d := device{agent: job.agent, entry: job.entry, service: job.service, ip: offset(s.account.office, 200)}
		v := s.visit(&bot, d, s.during(svc.zone, job.at).Add(s.pause(0, 5*time.Minute)))
		s.tell(v, 1, "")
		v.at = v.at.Add(s.pause(time.Minute, 10*time.Minute))
		s.tell(v, 2, "")
	}
}

// incidents happen to a company one after the other, one kind a day, so that
// in as many days as there are kinds every status has been seen.
func (s *scene) incidents(number int) {
	all := []func(p *person, at time.Time){
		s.wrongPasswords, s.lockedOut, s.slowToAnswer, s.ipConflict, s.staleSession,
		s.userDisabled, s.merchantDisabled, s.wrongPlace, s.unknownNames, s.noEmail,
		s.mfaTurnedOff, s.mfaEnrolled, s.newDevice, s.spray,
	}
	people := s.account.people
	p := *people[s.rng.IntN(len(people))]
	if p.factor == "" {
		p.factor = "totp"
	}
	p.clumsy, p.disabled = 0, false
	at := s.during(p.zone, p.begins).Add(s.pause(2*time.Hour, 6*time.Hour))
	all[number%len(all)](&p, at)
}

func (s *scene) wrongPasswords(p *person, at time.Time) {
	v := s.visit(p, p.desk, at)
	for range 3 {
		s.tell(v, 5, "")
	}
	s.resetPassword(v)
	again := s.visit(p, p.desk, v.at.Add(6*time.Minute))
	s.tell(again, 1, "")
	again.at = again.at.Add(s.pause(10*time.Minute, time.Hour))
	s.tell(again, 6, "no activity for 15 minutes")
}

func (s *scene) lockedOut(p *person, at time.Time) {
	v := s.visit(p, p.phone, at)
	s.tell(v, 25, "")
	for range 3 {
		s.tell(v, 24, "")
		s.tell(v, 22, "wrong code")
	}
	s.tell(v, 20, "three wrong codes")
	s.tell(&visit{who: p, device: s.account.people[0].desk, at: v.at.Add(20 * time.Minute)}, 19, "by the account's administrator")
}

func (s *scene) slowToAnswer(p *person, at time.Time) {
	v := s.visit(p, p.desk, at)
	s.tell(v, 25, "")
	s.tell(v, 24, "")
	v.at = v.at.Add(2 * time.Minute)
	s.tell(v, 23, "no code within 2 minutes")
	s.tell(v, 24, "")
	s.tell(v, 26, "code has letters in it")
	s.tell(v, 24, "")
	s.tell(v, 21, "")
	v.at = v.at.Add(s.pause(10*time.Minute, time.Hour))
	s.tell(v, 2, "")
}

func (s *scene) ipConflict(p *person, at time.Time) {
	v := s.visit(p, p.phone, at)
	s.tell(v, 1, "")
	elsewhere := *v
	elsewhere.device.ip, elsewhere.at = v6(s.rng), v.at.Add(s.pause(5*time.Minute, time.Hour))
	s.tell(&elsewhere, 8, "session was used from two addresses")
}

func (s *scene) staleSession(p *person, at time.Time) {
	v := s.visit(p, p.desk, at)
	s.tell(v, 1, "")
	v.at = v.at.Add(30 * time.Minute)
	s.tell(v, 6, "no activity for 15 minutes")
	v.at = v.at.Add(s.pause(time.Minute, time.Hour))
	s.tell(v, 9, "session has ended")
}

func (s *scene) userDisabled(p *person, at time.Time) {
	v := s.visit(p, p.home, at)
	for range 2 {
		s.tell(v, 10, "user was disabled by an administrator")
	}
}

func (s *scene) merchantDisabled(_ *person, at time.Time) {
	for i := range min(5, len(s.account.people)) {
		p := s.account.people[i]
		v := s.visit(p, p.desk, at.Add(s.pause(0, time.Hour)))
		s.tell(v, 11, "account is suspended: invoice overdue")
	}
}

func (s *scene) wrongPlace(p *person, at time.Time) {
	v := s.visit(p, p.home, at)
	v.device.ip = v4(192, 0, 2, byte(s.rng.IntN(256)))
	s.tell(v, 12, "address is not on the account's list")
	s.tell(v, 12, "address is not on the account's list")
}

func (s *scene) unknownNames(p *person, at time.Time) {
	typo := *p
	typo.username = "amdin"
	s.tell(&visit{who: &typo, device: p.desk, at: at}, 13, "")
	typo.username = ""
	s.tell(&visit{who: &typo, device: p.desk, at: at.Add(time.Minute)}, 3, "company was left empty")
}

func (s *scene) noEmail(p *person, at time.Time) {
	d := p.desk
	d.entry = 8
	v := &visit{who: p, device: d, at: at}
	s.tell(v, 14, "no address to send the link to")
	v.at = v.at.Add(time.Hour)
	s.tell(v, 15, "")
}

func (s *scene) mfaTurnedOff(p *person, at time.Time) {
	v := &visit{who: p, device: s.account.people[0].desk, at: at}
	s.tell(v, 16, "by the account's administrator")
	v.at = v.at.Add(3 * time.Hour)
	s.tell(v, 17, "by the account's administrator")
}

func (s *scene) mfaEnrolled(p *person, at time.Time) {
	s.tell(&visit{who: p, device: p.desk, at: at}, 18, "")
}

func (s *scene) newDevice(p *person, at time.Time) {
	first := s.visit(p, p.desk, at)
	s.tell(first, 1, "")
	second := s.visit(p, p.phone, at.Add(s.pause(10*time.Minute, time.Hour)))
	s.tell(second, 25, "")
	s.tell(second, 24, "")
	s.replace(first, second.at)
	s.tell(second, 21, "")
	second.at = second.at.Add(40 * time.Minute)
	s.tell(second, 2, "")
}

// spray is one password tried on many names from few addresses, at night.
func (s *scene) spray(_ *person, at time.Time) {
	at = at.Add(s.pause(6*time.Hour, 8*time.Hour))
	sources := []device{}
	for i := range 3 {
		sources = append(sources, device{agent: "python-requests/2.31.0", entry: 1, service: "web-login", ip: v4(192, 0, 2, byte(20+i))})
	}
	people := s.account.people
	for i := range 40 {
		victim, status := *people[s.rng.IntN(len(people))], event.Status(5)
		if s.chance(0.4) {
			victim.username, status = fmt.Sprintf("user%02d", i), 13
		}
		s.tell(s.visit(&victim, pick(s.rng, sources), at), status, "")
		at = at.Add(s.pause(time.Second, 20*time.Second))
	}
}
