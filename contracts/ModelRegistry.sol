// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IModelRegistry} from "./interfaces/IModelRegistry.sol";
import {ModelId} from "./types/Ids.sol";
import {Model, ModelLibrary, Profile} from "./types/Model.sol";

/// @title ModelRegistry
contract ModelRegistry is IModelRegistry {
    uint256 public constant MAX_URI_BYTES = 2048;

    mapping(ModelId modelId => Profile) private _profiles;

    /// @inheritdoc IModelRegistry
    function register(Model calldata model) external returns (ModelId modelId) {
        if (model.version != ModelLibrary.VERSION) revert ModelVersionUnknown(model.version);
        if (model.artifactHash == 0 || model.ioHash == 0) revert ModelIncomplete();
        if (!_rootsFit(model)) {
            revert ModelRootsInvalid(model.profile, model.programRoot, model.weightsRoot, model.limitsHash);
        }

        modelId = model.id();
        if (_profiles[modelId] != Profile.None) return modelId;
        _profiles[modelId] = model.profile;

        emit ModelRegistered(modelId, model);
    }

    /// @inheritdoc IModelRegistry
    function publish(ModelId modelId, string calldata uri) external {
        if (_profiles[modelId] == Profile.None) revert ModelUnknown(modelId);
        uint256 length = bytes(uri).length;
        if (length == 0 || length > MAX_URI_BYTES) revert ArtifactUriInvalid(length);

        emit ArtifactPublished(modelId, msg.sender, uri);
    }

    /// @inheritdoc IModelRegistry
    function profileOf(ModelId modelId) external view returns (Profile) {
        return _profiles[modelId];
    }

    function _rootsFit(Model calldata model) private pure returns (bool) {
        if (model.profile == Profile.None) return false;
        bool none = model.programRoot == 0 && model.weightsRoot == 0 && model.limitsHash == 0;
        bool all = model.programRoot != 0 && model.weightsRoot != 0 && model.limitsHash != 0;
        return model.profile == Profile.Signed ? none : all;
    }
}
