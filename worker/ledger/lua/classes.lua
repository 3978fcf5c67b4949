-- The class of a reason as it is known now: a code that nobody knew when it came may have been taught since.
local taught_since = {}

local function class_now(class, reason)
  if class ~= 'unknown' or not reason then return class end
  taught_since[reason] = taught_since[reason] or call('HGET', K.taught_classes, reason) or class
  return taught_since[reason]
end
