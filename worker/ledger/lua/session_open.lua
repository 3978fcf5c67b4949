-- flags: allow-oom
-- uses: users trail
-- Open a session for who has shown his password, in the place of his browser's former one. Returns 1, or 0 where the
-- user was disabled or got another password meanwhile.
-- ARGV: 2 digest, 3 name, 4 the password's hash as it was checked, 5 the same anew by today's parameters or '', 6 ms it
-- may last, 7 digest of the browser's former session or '', 8 from which address.
local digest, name, checked, anew, length = ARGV[2], ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
local key, own = K.user .. name, K.user_sessions .. name
local user = call('HMGET', key, 'p', 'd')
if user[1] ~= checked or user[2] then return 0 end
if anew ~= '' then call('HSET', key, 'p', anew) end
local former = call('HGET', K.session .. ARGV[7], 'u')
if former then end_session(former, ARGV[7]) end
call('ZREMRANGEBYSCORE', own, '-inf', now)
if call('ZCARD', own) >= MOST_SESSIONS then end_session(name, call('ZRANGE', own, 0, 0)[1]) end
call('HSET', K.session .. digest, 'u', name, 't', now, 's', now)
call('PEXPIRE', K.session .. digest, length)
call('ZADD', own, now + length, digest)
call('PEXPIRE', own, length)
call('HSET', key, 'i', now)
account('sign_in', 'user:' .. name, '', name, 'address', ARGV[8])
return 1
