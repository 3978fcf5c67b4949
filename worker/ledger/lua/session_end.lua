-- flags: allow-oom
-- uses: users trail
-- Sign out. ARGV: 2 digest. Returns 1 where there was such a session.
local name = call('HGET', K.session .. ARGV[2], 'u')
if not name then return 0 end
account('sign_out', 'user:' .. name, '', name)
return end_session(name, ARGV[2])
