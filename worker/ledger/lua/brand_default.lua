-- uses: trail
-- Choose the brand of requests that name none. Returns 1, or 0 where there is no such brand.
--
-- ARGV: 2 name, or '' for what the settings say, 3 by, 4 why.
local name = ARGV[2]
if name ~= '' and call('HEXISTS', K.brands, name) == 0 then return 0 end
local before = call('HGET', K.meta, 'brand_default') or ''
if before == name then return 1 end
if name == '' then
  call('HDEL', K.meta, 'brand_default')
else
  call('HSET', K.meta, 'brand_default', name)
end
call('HINCRBY', K.meta, 'brands', 1)
account('brand_default', ARGV[3], ARGV[4], name, 'before', before, 'after', name)
return 1
