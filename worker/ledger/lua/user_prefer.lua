-- Keep a user's language and theme, or forget one that is ''. ARGV: 2 name, 3 language, 4 theme. Returns 1, or 0 where
-- there is no such user.
local key = K.user .. ARGV[2]
if call('EXISTS', key) == 0 then return 0 end
for field, value in pairs({ l = ARGV[3], h = ARGV[4] }) do
  if value == '' then call('HDEL', key, field) else call('HSET', key, field, value) end
end
return 1
