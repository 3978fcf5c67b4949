-- flags: allow-oom
-- uses: trail
-- Make the keys of a name useless from now on. ARGV: 2 name, 3 by. Returns how many there were.
local all, gone = call('HGETALL', K.api_keys), 0
for i = 1, #all, 2 do
  if string.match(all[i + 1], '^[^' .. US .. ']*') == ARGV[2] then
    gone = gone + call('HDEL', K.api_keys, all[i])
    call('HDEL', K.api_key_uses, all[i])
  end
end
if gone > 0 then account('key_revoke', ARGV[3], '', ARGV[2]) end
return gone
