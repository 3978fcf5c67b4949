-- The console's users and their sessions.
--
-- A user's hash: r role · p password's hash · t added at · b by whom · c changed at · d disabled at · i signed in at
--   l language · h theme
-- A session's hash: u user · t began at · s seen at
local MOST_SESSIONS = 20 -- of one user: the one that began first makes room

local function end_session(name, digest)
  call('ZREM', K.user_sessions .. name, digest)
  return call('DEL', K.session .. digest)
end

-- End a user's sessions but the one to *keep*; return how many.
local function end_sessions(name, keep)
  local ended = 0
  for _, digest in ipairs(call('ZRANGE', K.user_sessions .. name, 0, -1)) do
    if digest ~= keep then ended = ended + end_session(name, digest) end
  end
  return ended
end
