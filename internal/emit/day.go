package emit

import "time"

// ordinaryDay is what somebody does on a day on which nothing special happens.
func (s *scene) ordinaryDay(p *person) {
	local := s.clock(p, p.begins).Add(p.zone)
	share := p.diligent
	if w := local.Weekday(); w == time.Saturday || w == time.Sunday {
		share *= 0.12
	}
	if !s.chance(share) {
		return
	}
	at := s.clock(p, p.begins).Add(s.pause(0, 50*time.Minute))
	var open *visit // a session that nobody has closed yet
	for range 1 + s.rng.IntN(3) {
		v := s.visit(p, s.deviceOf(p), at)
		if !s.logIn(v) {
			if s.chance(0.3) {
				s.resetPassword(v)
			}
			at = v.at.Add(s.pause(time.Minute, 30*time.Minute))
			continue
		}
		if open != nil {
			s.replace(open, v.at)
		}
		open = s.work(v)
		at = v.at.Add(s.pause(20*time.Minute, 3*time.Hour))
	}
}

// clock is a local clock time of p on this UTC day.
func (s *scene) clock(p *person, local time.Duration) time.Time {
	return s.during(p.zone, local)
}

func (s *scene) deviceOf(p *person) device {
	switch {
	case s.chance(0.15):
		return p.phone
	case s.chance(0.25):
		return p.home
	default:
		return p.desk
	}
}

// work is a session from its log-in on. It gives the session back where it was
// left open.
func (s *scene) work(v *visit) (open *visit) {
	v.at = v.at.Add(s.pause(3*time.Minute, 2*time.Hour))
	switch n := s.rng.IntN(100); {
	case n < 52:
		s.tell(v, 2, "")
	case n < 74:
		v.at = v.at.Add(15 * time.Minute)
		s.tell(v, 6, "no activity for 15 minutes")
	case n < 76: // a page left open is used after the server forgot the session
		s.tell(v, 9, "")
	default:
		return v
	}
	return nil
}

// replace ends a session because its user logged in elsewhere.
func (s *scene) replace(open *visit, at time.Time) {
	ended := *open
	ended.at = at
	s.tell(&ended, 7, "")
}

// resetPassword is what somebody does who cannot get in.
func (s *scene) resetPassword(v *visit) {
	r := *v
	r.device.entry, r.at = 8, v.at.Add(s.pause(time.Minute, 4*time.Minute))
	s.tell(&r, 15, "")
}
