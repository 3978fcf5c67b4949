-- uses: trail
-- Forget a brand profile. Messages of requests that name it are the default's from then on.
--
-- ARGV: 2 name, 3 by, 4 why. Returns 1; 0 where there is no such brand; -1 where it is the default.
local name = ARGV[2]
local before = string.match(call('HGET', K.brands, name) or '', '^[^' .. US .. ']*')
if before == '' then return 0 end
if call('HGET', K.meta, 'brand_default') == name then return -1 end
call('HDEL', K.brands, name)
call('HINCRBY', K.meta, 'brands', 1)
account('brand_remove', ARGV[3], ARGV[4], name, 'before', before, 'after', '')
return 1
