-- flags: allow-oom
-- uses: users
-- Sign out. ARGV: 2 digest. Returns 1 where there was such a session.
local name = call('HGET', K.session .. ARGV[2], 'u')
if not name then return 0 end
return end_session(name, ARGV[2])
