-- What follows when a job ends: its claim may fall free, and its invitation may be ready to go out.

local TEMPLATE = 'invitation'

-- Return the invitation's header as a table, or nil when it has been pruned.
local function header_of(inv)
  local whole = call('GET', K.invitation .. inv)
  if not whole then return nil end
  local line = string.sub(whole, 1, string.find(whole, '\n', 1, true) - 1)
  local part = {}
  for value in string.gmatch(line .. US, '([^' .. US .. ']*)' .. US) do part[#part + 1] = value end
  return {
    fingerprint = part[1], contact_mark = part[2], products = part[3], claim = part[4], event = part[5],
    channels = part[6], policy = part[7], skips = part[8], source = part[9], line = part[10],
  }
end

-- Tell whether some job still stands on the claim: the WhatsApp job on a number, any job on another key.
local function is_claim_needed(inv, header)
  local codes = string.sub(header.claim, 1, 2) == 'n:' and 'w' or header.products
  for code in string.gmatch(codes, '.') do
    local state = call('HGET', K.job .. inv .. code, 's')
    if state and not CLAIM_FREE[state] then return true end
  end
  return false
end

local function let_claim_go(inv, header)
  if call('GET', K.claim .. header.claim) == inv and not is_claim_needed(inv, header) then
    call('DEL', K.claim .. header.claim)
  end
end

-- Return the latest generation of the invitation's messages. The last of them need not be of it: another channel may take
-- over an earlier one. Reminders are counted by themselves.
local function generation_of(inv)
  local latest = 0
  for _, id in ipairs(call('LRANGE', K.deliveries .. inv, 0, -1)) do
    local template, generation = string.match(id, '%.(%a+)%.(%d+)$')
    if template == TEMPLATE then latest = math.max(latest, tonumber(generation)) end
  end
  return latest
end

local function add_delivery(inv, channel, generation, codes, state, reason, template)
  local id = inv .. '.' .. channel .. '.' .. (template or TEMPLATE) .. '.' .. generation
  if call('EXISTS', K.delivery .. id) == 1 then return nil end
  call('HSET', K.delivery .. id, 's', state, 't', now, 'c', now, 'd', now, 'j', codes)
  if reason then call('HSET', K.delivery .. id, 'r', reason) end
  if state == 'pending' then
    call('ZADD', K.outgoing .. channel, now, id)
  else
    call('ZADD', K.delivery_state .. state, now, id)
  end
  call('RPUSH', K.deliveries .. inv, id)
  return id
end

local TOLD = { sent = true, sending = true, in_doubt = true }

-- Tell whether the customer was sent the link of one of an invitation's jobs, or may have been, by the message of a
-- *generation* through any channel.
local function was_told(inv, code, generation)
  for _, id in ipairs(call('LRANGE', K.deliveries .. inv, 0, -1)) do
    local template, its_own = string.match(id, '%.(%a+)%.(%d+)$')
    if template == TEMPLATE and its_own == generation then
      -- One that is sent again, by an operator or after doubt, was sent before.
      local row = call('HMGET', K.delivery .. id, 's', 'j', 'i', 'u')
      if (TOLD[row[1]] or row[3] or row[4]) and string.find(row[2], code, 1, true) then return true end
    end
  end
  return false
end

-- Failed deliveries by reason.
local function list_failed(id, reason, class, failed_at)
  call('ZADD', K.delivery_failed .. reason, failed_at or now, id)
  call('HSET', K.delivery_reasons, reason, class)
end

local function unlist_failed(id, reason)
  call('ZREM', K.delivery_failed .. reason, id)
  if call('EXISTS', K.delivery_failed .. reason) == 0 then call('HDEL', K.delivery_reasons, reason) end
end

-- Return a generation's messages where all of them still wait for the send window, and were not sent before.
local function waiting_of(inv, generation)
  local waiting = {}
  for _, id in ipairs(call('LRANGE', K.deliveries .. inv, 0, -1)) do
    local template, its_own = string.match(id, '%.(%a+)%.(%d+)$')
    if template == TEMPLATE and tonumber(its_own) == generation then
      local row = call('HMGET', K.delivery .. id, 's', 'h', 'j', 'i', 'u', 'm')
      local is_waiting = row[1] == 'pending' and row[2] == 'window' and not (row[4] or row[5] or row[6])
      if is_waiting then waiting[#waiting + 1] = { id = id, codes = row[3] } end
      if not is_waiting and row[1] ~= 'skipped' then return {} end
    end
  end
  return waiting
end

-- What comes while the messages wait for the window goes out with them: the customer gets one, when it opens.
local function join(inv, codes)
  local generation = generation_of(inv)
  local waiting = waiting_of(inv, generation)
  for _, message in ipairs(waiting) do
    local all = message.codes
    for code in string.gmatch(codes, '.') do
      if not string.find(all, code, 1, true) then all = all .. code end
    end
    call('HSET', K.delivery .. message.id, 'j', all)
  end
  return #waiting > 0 and generation or nil
end

-- Make the deliveries for these jobs' links, a generation of their own. Return those that are due.
local function make_messages(inv, header, codes, generation)
  local made = {}
  for channel in string.gmatch(header.channels, '[^,]+') do
    if header.policy == 'all' or #made == 0 then
      made[#made + 1] = add_delivery(inv, channel, generation, codes, 'pending')
    end
  end
  for channel, reason in string.gmatch(header.skips, '([^,=]+)=([^,]*)') do
    add_delivery(inv, channel, generation, codes, 'skipped', reason)
  end
  return made
end

-- Let the customer be told of these jobs' links, and mark the jobs told. Return the deliveries that were made for it.
local function tell(inv, header, codes)
  local generation, made = join(inv, codes), {}
  if not generation then
    generation = generation_of(inv) + 1
    made = make_messages(inv, header, codes, generation)
  end
  for code in string.gmatch(codes, '.') do call('HSET', K.job .. inv .. code, 'w', generation) end
  call('ZREM', K.late, inv)
  return made
end

-- Return the codes of linked jobs nobody was told of, the first's time, and whether a job may still link.
local function untold_of(inv, header)
  local codes, first, is_open = '', nil, false
  for code in string.gmatch(header.products, '.') do
    local row = call('HMGET', K.job .. inv .. code, 's', 'w', 'c')
    if row[1] and OPEN[row[1]] then
      is_open = true
    elseif row[1] == 'linked' and not row[2] then
      codes = codes .. code
      first = math.min(first or math.huge, tonumber(row[3]))
    end
  end
  return codes, first, is_open
end

-- When the invitation's last job has ended, make its deliveries. Return their ids.
local function conclude(inv, header)
  local codes, first, is_open = untold_of(inv, header)
  if codes == '' then
    call('ZREM', K.late, inv)
    return {}
  end
  if is_open then
    call('ZADD', K.late, 'NX', first, inv)
    return {}
  end
  return tell(inv, header, codes)
end

-- Move the job to a state in which it has ended. Return the ids of deliveries that came due by it.
local function finish(job, state)
  move(job, state)
  local inv = invitation_of(job.id)
  local header = header_of(inv)
  if CLAIM_FREE[state] then let_claim_go(inv, header) end
  return conclude(inv, header)
end

-- Record the link (its number is another than asked for with coexistence) and end the job.
local function link_up(job, state, link, landing_page, number)
  call('HSET', K.extra .. job.id, 'link', link, 'landing', landing_page, 'number', number, 'made', now)
  call('HDEL', K.extra .. job.id, 'raw', 'detail')
  unset(job, 'w')
  local op = job.op
  job.op = nil -- `end_of` takes a change of the link for over
  -- The reason's index is left first: `leave` reads it from the job.
  local made = finish(job, state)
  unset(job, 'r', 'rc', 'pc')
  if op then unset(job, 'op', 'dt') end
  return made
end

-- Write the reason of a FAIL on a job that does not stand in `failed`.
-- *fail*: {reason, class, code, raw, detail}, '' for what is not known.
local function blame(job, fail)
  set(job, 'r', fail[1], 'rc', fail[2])
  if fail[3] ~= '' then set(job, 'pc', fail[3]) else unset(job, 'pc') end
  call('HSET', K.extra .. job.id, 'raw', fail[4], 'detail', fail[5])
end
