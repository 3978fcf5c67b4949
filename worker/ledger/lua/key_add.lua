-- uses: trail
-- Add a key of the API. ARGV: 2 sha256 of the secret, 3 name, 4 by. Returns 1, or 0 where the name is taken.
for _, value in ipairs(call('HVALS', K.api_keys)) do
  if string.match(value, '^[^' .. US .. ']*') == ARGV[3] then return 0 end
end
call('HSET', K.api_keys, ARGV[2], table.concat({ ARGV[3], string.format('%.0f', now), ARGV[4] }, US))
account('key_add', ARGV[4], '', ARGV[3])
return 1
