-- scheduled -> available, for those whose time has come. ARGV: 2 most jobs. Returns how many.
local ids = call('ZRANGEBYSCORE', K.state .. 'scheduled', '-inf', now, 'LIMIT', 0, tonumber(ARGV[2]))
for _, id in ipairs(ids) do move(load(id), 'available') end
return #ids
