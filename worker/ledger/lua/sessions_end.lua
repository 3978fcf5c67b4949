-- flags: allow-oom
-- uses: users trail
-- Sign a user out everywhere. ARGV: 2 name, 3 by, 4 a session to keep or ''. Returns how many sessions ended.
local ended = end_sessions(ARGV[2], ARGV[4])
account('sign_out_everywhere', ARGV[3], '', ARGV[2], 'sessions_ended', ended)
return ended
