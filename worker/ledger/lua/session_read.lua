-- flags: allow-oom
-- uses: users
-- Return a living session's user, role, language, theme and beginning; nothing where it has ended, which ends it.
-- ARGV: 2 digest, 3 ms it may be idle, 4 ms it may last, 5 '1' where this counts as a sign of life.
local SEEN_EVERY_MS = 5000 -- a sign of life is written no more often
local session = read(K.session .. ARGV[2], ARGV[2])
if not session then return {} end
local user = read(K.user .. session.u, session.u)
local is_over = now >= session.t + tonumber(ARGV[4]) or now >= session.s + tonumber(ARGV[3])
if is_over or not user or user.d then
  end_session(session.u, session.id)
  return {}
end
if ARGV[5] == '1' and now - session.s >= SEEN_EVERY_MS then call('HSET', K.session .. session.id, 's', now) end
return { user.id, user.r, user.l or '', user.h or '', session.t }
