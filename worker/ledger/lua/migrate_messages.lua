-- uses: endings
-- Index messages that failed before there was an index of their reasons. Again changes nothing.
-- ARGV: 2… delivery ids. Returns how many were failed.
local failed = 0
for at = 2, #ARGV do
  local row = call('HMGET', K.delivery .. ARGV[at], 's', 'r', 'rc', 'c')
  if row[1] == 'failed' then
    list_failed(ARGV[at], row[2] or 'unknown', row[3] or '', row[4])
    failed = failed + 1
  end
end
return failed
