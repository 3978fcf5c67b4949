-- Deliveries: their hash, and the moves that keep their indexes right.
--
-- A delivery's id is <invitation>.<channel>.<template>.<generation>. Fields:
--   s state · t made at · c changed at · d due at · j product codes of its links · f failures · u sends again after doubt
--   m sends again by an operator · n starts without an end · k token · g send begun at · p token of the last settle
--   r reason · rc class · v detail · i the provider's id · sg segments · z bulk act that sent it again, until it ends
--   h what a pending one waits for: `window`, see window.lua · y product codes of the links that its latest claim brings

local function split(id)
  local inv, channel, template, generation = string.match(id, '^([^.]+)%.([^.]+)%.([^.]+)%.(%d+)$')
  return inv, channel, template, tonumber(generation)
end

local function load_delivery(id)
  local row = read(K.delivery .. id, id)
  if row then row.inv, row.channel, row.template, row.generation = split(id) end
  return row
end

local function write(delivery, ...)
  call('HSET', K.delivery .. delivery.id, ...)
  local pairs_ = { ... }
  for i = 1, #pairs_, 2 do delivery[pairs_[i]] = tostring(pairs_[i + 1]) end
end

local function erase(delivery, ...)
  call('HDEL', K.delivery .. delivery.id, ...)
  for _, field in ipairs({ ... }) do delivery[field] = nil end
end

-- Tell that the message went out, in the name of the first of its jobs. Nobody's address is in it. A reminder brings
-- nothing new: it is not told of.
local function announce_sent(delivery)
  if delivery.template ~= TEMPLATE then return end
  local job_id = delivery.inv .. string.sub(delivery.j, 1, 1)
  if call('EXISTS', K.job .. job_id) == 0 then return end
  announce(job_id, 'invitation.sent', function()
    return { 'state', 'sent', 'channel', delivery.channel, 'delivery_id', delivery.id, 'codes', delivery.j }
  end)
end

local function stop_waiting(delivery)
  erase(delivery, 'h')
  for _, kind in ipairs({ 'live', 'others' }) do
    call('ZREM', K.put_off .. delivery.channel .. ':' .. kind, delivery.id)
  end
end

local DELIVERY_ENDS = { sent = 'sent', failed = 'again', skipped = 'other', in_doubt = 'other' }

-- The one way from state to state. *score*: due time of `pending`, lease end of `sending`; else now.
local function move_delivery(delivery, state, score)
  if delivery.s == 'failed' then unlist_failed(delivery.id, delivery.r) end
  if delivery.h then stop_waiting(delivery) end
  if delivery.s ~= 'pending' then
    call('ZREM', K.delivery_state .. delivery.s, delivery.id)
  elseif call('ZREM', K.rung .. delivery.channel, delivery.id) == 0 then
    call('ZREM', K.outgoing .. delivery.channel, delivery.id)
  end
  write(delivery, 's', state, 'c', now)
  if state == 'pending' then
    write(delivery, 'd', score)
    call('ZADD', K.outgoing .. delivery.channel, score, delivery.id)
  else
    call('ZADD', K.delivery_state .. state, score or now, delivery.id)
  end
  if state == 'failed' then list_failed(delivery.id, delivery.r, delivery.rc) end
  if state == 'sent' then
    tick('sent.' .. delivery.channel, 1)
    announce_sent(delivery)
  elseif state == 'failed' then
    tick('delivery_failed.' .. delivery.channel, 1)
    tick_reason('delivery', delivery.r or 'unknown')
  end
  if delivery.z and DELIVERY_ENDS[state] then
    end_for_act(K.delivery .. delivery.id, delivery.z, DELIVERY_ENDS[state], delivery.r or 'unknown')
    delivery.z = nil
  end
end

local function blame_delivery(delivery, reason, class, detail)
  write(delivery, 'r', reason, 'rc', class, 'v', detail)
end

-- With policy `first`, a channel that failed for good hands on to the next one of the plan. A reminder's does not: it
-- goes where the customer was reached before.
local function fall_back(delivery)
  if delivery.template ~= TEMPLATE then return end
  local header = header_of(delivery.inv)
  if not header or header.policy ~= 'first' then return end
  local is_next = false
  for channel in string.gmatch(header.channels, '[^,]+') do
    if is_next then
      add_delivery(delivery.inv, channel, delivery.generation, delivery.j, 'pending')
      return
    end
    is_next = channel == delivery.channel
  end
end

-- The provider may have it. Mail is sent once more, counted, when a late answer can hardly come any more;
-- anything else waits for an operator.
local function into_doubt(delivery, can_resend, after_ms)
  if can_resend and tonumber(delivery.u or 0) == 0 then
    write(delivery, 'u', 1)
    move_delivery(delivery, 'pending', now + after_ms)
  else
    move_delivery(delivery, 'in_doubt')
  end
end

-- Return the delivery while *token* is the right to settle it. `Sent` may come late: *may_be_late*.
local function sent_by(id, token, may_be_late)
  local delivery = load_delivery(id)
  if not delivery or delivery.k ~= token then return nil end
  local is_late = may_be_late and (delivery.s == 'in_doubt' or delivery.s == 'pending')
  if delivery.s == 'sending' or is_late then return delivery end
  return nil
end

-- The lease is not ours: 1 only if this very settle was done before and its answer was lost.
local function is_repeat(id, token)
  return call('HGET', K.delivery .. id, 'p') == token and 1 or 0
end

-- The send is over. After doubt the token stays, so that a late answer still finds it.
local function end_send(delivery, keeps_token)
  write(delivery, 'p', delivery.k)
  erase(delivery, 'g', 'n')
  if not keeps_token then erase(delivery, 'k') end
end

-- Another try for a person's asking. *who*: by, why; is_readdressed: the contact is another now; act: of a bulk act.
local function resend(delivery, who)
  local was, was_at = delivery.s, delivery.c
  write(delivery, 'm', (delivery.m or 0) + 1)
  -- The reason's index is left first: `move_delivery` reads it from the delivery.
  move_delivery(delivery, 'pending', now)
  erase(delivery, 'f', 'n', 'k', 'p', 'u', 'r', 'rc', 'v')
  for code in string.gmatch(delivery.j, '.') do
    note({ id = delivery.inv .. code }, 'resend', 'by', who.by, 'why', who.why, 'channel', delivery.channel,
      'readdressed', who.is_readdressed and '1' or '0', 'was', was, 'was_ms', was_at, 'act', who.act or '')
  end
end
