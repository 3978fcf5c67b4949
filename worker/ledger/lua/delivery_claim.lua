-- flags: allow-oom
-- uses: endings sending reminding window
-- pending -> sending, under a lease; -> skipped when none of its links stands any more. A bell that rang before its
-- channel was paused leads to nothing: the delivery goes back to the front of its queue; one that rang as the send
-- window closed is put off.
--
-- ARGV: 2 delivery, 3 token, 4 lease ms, 5 closed times (window.lua). Returns {} when it is not to be had, or
-- {lease end, failures, is a resend, times an operator asked for it again, when the invitation's first message went out
-- or '', record, then for each link: job, link, number, when the link that it replaces was made or ''}.
local delivery = load_delivery(ARGV[2])
if not delivery or delivery.s ~= 'pending' or tonumber(delivery.d) > now then return {} end
if call('SISMEMBER', K.pauses, 'channel:' .. delivery.channel) == 1 then
  if call('ZREM', K.rung .. delivery.channel, delivery.id) == 1 then
    call('ZADD', K.outgoing .. delivery.channel, delivery.d, delivery.id)
  end
  return {}
end

local links, codes, finished = {}, '', 0
for code in string.gmatch(delivery.j, '.') do
  local job = delivery.inv .. code
  local row = call('HMGET', K.job .. job, 's', 'w')
  -- A link that replaced another is told of by a later message than the one that was to bring the other.
  local is_told_by_it = delivery.template == TEMPLATE and tonumber(row[2] or 0) == delivery.generation
  if row[1] == 'linked' and (is_told_by_it or delivery.template ~= TEMPLATE) then
    codes = codes .. code
    local extra = call('HMGET', K.extra .. job, 'link', 'number', 'replaced')
    for _, value in ipairs({ job, extra[1] or '', extra[2] or '', extra[3] or '' }) do links[#links + 1] = value end
  elseif row[1] == 'onboarded' then
    finished = finished + 1
  elseif is_told_by_it and call('HEXISTS', K.job .. job, 'op') == 1 then
    -- Left out because it is being changed: should that be called off, it is still to be told of, unless it was.
    if not was_told(delivery.inv, code, row[2]) then call('HDEL', K.job .. job, 'w') end
  end
end
if #links == 0 then
  if finished == #delivery.j then
    blame_delivery(delivery, 'customer_finished', 'skipped', '')
  else
    blame_delivery(delivery, 'link_gone', 'link_gone', '')
  end
  move_delivery(delivery, 'skipped')
  return {}
end

-- A reminder says since when its customer has had the link; one whose time is over is not sent any more.
local first_sent = ''
if delivery.template == REMINDER then
  local open = open_links(delivery.inv, header_of(delivery.inv))
  local refusal = too_late_for(delivery, open)
  if refusal then
    blame_delivery(delivery, refusal, 'skipped', '')
    move_delivery(delivery, 'skipped')
    return {}
  end
  first_sent = string.format('%.0f', open.since)
end

local until_ = closed_for(delivery, read_times(ARGV[5]))
if until_ then
  put_off(delivery, until_)
  return {}
end

local lease_end = now + tonumber(ARGV[4])
move_delivery(delivery, 'sending', lease_end)
write(delivery, 'k', ARGV[3], 'n', (delivery.n or 0) + 1, 'y', codes)
local is_resend = delivery.u and 1 or 0
return {
  string.format('%.0f', lease_end), tonumber(delivery.f or 0), is_resend, tonumber(delivery.m or 0),
  first_sent, call('GET', K.invitation .. delivery.inv), unpack(links),
}
