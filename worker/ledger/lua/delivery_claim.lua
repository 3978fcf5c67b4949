-- flags: allow-oom
-- uses: endings sending
-- pending -> sending, under a lease; -> skipped when none of its links stands any more. A bell that rang before its
-- channel was paused leads to nothing: the delivery goes back to the front of its queue.
--
-- ARGV: 2 delivery, 3 token, 4 lease ms. Returns {} when it is not to be had, or
-- {lease end, failures, is a resend, times an operator asked for it again, record, job, link, number, job, link, number, …}.
local delivery = load_delivery(ARGV[2])
if not delivery or delivery.s ~= 'pending' or tonumber(delivery.d) > now then return {} end
if call('SISMEMBER', K.pauses, 'channel:' .. delivery.channel) == 1 then
  if call('ZREM', K.rung .. delivery.channel, delivery.id) == 1 then
    call('ZADD', K.outgoing .. delivery.channel, delivery.d, delivery.id)
  end
  return {}
end

local links = {}
for code in string.gmatch(delivery.j, '.') do
  local job = delivery.inv .. code
  if call('HGET', K.job .. job, 's') == 'linked' then
    local extra = call('HMGET', K.extra .. job, 'link', 'number')
    for _, value in ipairs({ job, extra[1] or '', extra[2] or '' }) do links[#links + 1] = value end
  end
end
if #links == 0 then
  blame_delivery(delivery, 'link_gone', 'link_gone', '')
  move_delivery(delivery, 'skipped')
  return {}
end

local lease_end = now + tonumber(ARGV[4])
move_delivery(delivery, 'sending', lease_end)
write(delivery, 'k', ARGV[3], 'n', (delivery.n or 0) + 1)
local is_resend = delivery.u and 1 or 0
return {
  string.format('%.0f', lease_end), tonumber(delivery.f or 0), is_resend, tonumber(delivery.m or 0),
  call('GET', K.invitation .. delivery.inv), unpack(links),
}
