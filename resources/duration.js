'use strict';

// The alarms on duration, by the name of the function: 80 % of its own time-out, in the milliseconds that Lambda reports.

const MS_OF_A_SECOND = 800;

module.exports = async ({ resolveConfigurationProperty }) => {
  const functions = await resolveConfigurationProperty(['functions']);
  const shared = await resolveConfigurationProperty(['provider', 'timeout']);
  return Object.fromEntries(
    Object.entries(functions).map(([name, { timeout = shared }]) => [name, MS_OF_A_SECOND * timeout])
  );
};
