-- uses: outbox
-- How every sink stands that ever was switched on.
-- Returns for each {name, '1' enabled, waiting, sending, failed, oldest due ms or '', its hash}.
local enabled, reply = {}, {}
for name in string.gmatch(call('HGET', K.meta, 'sinks') or '', '([^,=]+)=') do enabled[name] = true end
for _, name in ipairs(call('HKEYS', K.sinks)) do
  local oldest = call('ZRANGE', K.outbox_due .. name, 0, 0, 'WITHSCORES')
  reply[#reply + 1] = {
    name, enabled[name] and 1 or 0, call('ZCARD', K.outbox_due .. name), call('ZCARD', K.outbox_sending .. name),
    call('ZCARD', K.outbox_failed .. name), oldest[2] or '', call('HGETALL', K.sink .. name),
  }
end
return reply
