-- End the credentials hold: a token was given. Returns 1 when there was one. ARGV  1 now ('')

if not state.cred_fingerprint then return 0 end
redis.call('hdel', key, 'cred_fingerprint', 'cred_code', 'cred_since')
for name in pairs(state) do
  if string.sub(name, 1, 6) == 'probe:' then redis.call('hdel', key, name) end
end
return 1
